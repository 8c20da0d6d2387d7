#include "operators/pow/pow.h"

#include "operators/unary.h"

namespace d2deploy {

namespace {

void run(const Pow::Params& p, const Call& call) {
  if (!call.has_input(1)) {
    if (p.exponent == -1.0F) return for_each_element<float>(call, [](float x) { return 1.0F / x; });
    if (p.exponent == 2.0F) return for_each_element<float>(call, [](float x) { return x * x; });
    return for_each_element<float>(call, [e = p.exponent](float x) { return std::pow(x, e); });
  }
  const BinaryShape shape = BinaryShape::of("Pow", p, call.input(0).shape(), call.input(1).shape());
  TensorType e = call.input(1).type();
  if (shape.b_is_scalar) e = {e.dtype, {}, Layout::row_major};
  const auto loops = broadcast(call.output(0).type(), call.input(0).type(), shape.a_offset, e, shape.b_offset);
  for_each_pair(loops, call.in<float>(0), call.in<float>(1), call.out<float>(0),
                [](float x, float power) { return std::pow(x, power); });
}

}  // namespace

template <>
Kernels<Pow> kernels<Pow, Backend::cpu>() {
  return {{"loop_f32", accepts_all<Pow>, run}};
}

}  // namespace d2deploy
