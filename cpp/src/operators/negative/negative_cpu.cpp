#include "operators/negative/negative.h"

#include "operators/binary.h"
#include "operators/unary.h"

namespace d2deploy {

namespace {

// Of floats the sign alone changes, that of zeros too, which 0 - x would not do.
template <class T>
void run_typed(const Call& call) {
  for_each_element<T>(call, [](T x) {
    if constexpr (std::is_floating_point_v<T>)
      return -x;
    else
      return wrapping(T{0}, x, [](auto a, auto b) { return a - b; });
  });
}

void run(const NoParams&, const Call& call) {
  switch (call.output(0).dtype()) {
    case DType::float32: return run_typed<float>(call);
    case DType::int32: return run_typed<std::int32_t>(call);
    case DType::int64: return run_typed<std::int64_t>(call);
    default: fail<InternalError>("Negative: no loop for ", call.output(0).dtype());
  }
}

}  // namespace

template <>
Kernels<Negative> kernels<Negative, Backend::cpu>() {
  return {{"loop", accepts_all<Negative>, run}};
}

}  // namespace d2deploy
