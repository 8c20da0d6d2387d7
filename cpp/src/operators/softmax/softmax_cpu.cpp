#include "operators/softmax/softmax.h"

#include "core/threads.h"
#include "kernels/exp.h"

namespace d2deploy {

namespace {

// y = exp(x - max x) / sum: the largest exponent is 0, so nothing overflows. May be done in place.
void softmax_row(const float* x, std::int64_t n, float* y) {
  float largest = x[0];
  for (std::int64_t i = 1; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) y[i] = exp_of_minus_abs(x[i] - largest);
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(y[i]);
  const auto scale = static_cast<float>(1 / sum);
  for (std::int64_t i = 0; i < n; ++i) y[i] *= scale;
}

void run(const Softmax::Params& p, const Call& call) {
  const Shape& shape = call.input(0).shape();
  const auto axis = canonical_axis("Softmax", p.axis, shape.rank());
  const std::int64_t rows = shape.size(0, axis), n = shape.size(axis, shape.rank());
  if (rows == 0 || n == 0) return;
  const float* x = call.in<float>(0);
  float* y = call.out<float>(0);
  parallel_for(rows, 1 + (1 << 13) / n, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) softmax_row(x + r * n, n, y + r * n);
  });
}

}  // namespace

template <>
Kernels<Softmax> kernels<Softmax, Backend::cpu>() {
  return {{"rows_f32", accepts_all<Softmax>, run}};
}

}  // namespace d2deploy
