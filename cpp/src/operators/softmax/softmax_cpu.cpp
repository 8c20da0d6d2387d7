#include "core/threads.h"
#include "kernels/softmax.h"
#include "operators/softmax/softmax.h"

namespace d2deploy {

namespace {

void run(const Softmax::Params& p, const Call& call) {
  const Shape& shape = call.input(0).shape();
  const auto axis = canonical_axis("Softmax", p.axis, shape.rank());
  const std::int64_t rows = shape.size(0, axis), n = shape.size(axis, shape.rank());
  if (rows == 0 || n == 0) return;
  const float* x = call.in<float>(0);
  float* y = call.out<float>(0);
  parallel_for(rows, 1 + (1 << 13) / n, [&](std::int64_t begin, std::int64_t end) {
    softmax_f32(x + begin * n, end - begin, n, y + begin * n);
  });
}

}  // namespace

template <>
Kernels<Softmax> kernels<Softmax, Backend::cpu>() {
  return {{"rows_f32", accepts_all<Softmax>, run}};
}

}  // namespace d2deploy
