#include "operators/reduce_mean/reduce_mean.h"

#include "core/threads.h"
#include "kernels/loops.h"

namespace d2deploy {

namespace {

// Sums are kept in float64: float32 would lose digits over large maps. The order does not depend on the threads.
double sum_row(const float* x, std::int64_t n) {
  double lanes[4] = {};
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (std::int64_t l = 0; l < 4; ++l) lanes[l] += static_cast<double>(x[i + l]);
  for (; i < n; ++i) lanes[0] += static_cast<double>(x[i]);
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

constexpr std::int64_t kBlock = 256;  // outputs that are summed side by side

// y[i] = mean over the reduced loops, for n outputs that are x_step apart in X.
void mean_block(const Loops& reduced, const float* x, std::int64_t x_step, std::int64_t n, float* y,
                std::int64_t y_step) {
  const std::int64_t terms = reduced.total();
  const bool row = reduced.count == 1 && reduced.a[0] == 1;
  double sums[kBlock] = {};
  if (row) {
    for (std::int64_t i = 0; i < n; ++i) sums[i] = sum_row(x + i * x_step, terms);
  } else {
    for (std::int64_t k = 0; k < terms; ++k) {
      const float* at = x + reduced.at(k, reduced.count).a;
      if (x_step == 1)
        for (std::int64_t i = 0; i < n; ++i) sums[i] += static_cast<double>(at[i]);
      else
        for (std::int64_t i = 0; i < n; ++i) sums[i] += static_cast<double>(at[i * x_step]);
    }
  }
  for (std::int64_t i = 0; i < n; ++i) y[i * y_step] = static_cast<float>(sums[i] / static_cast<double>(terms));
}

void run(const ReduceMean::Params& p, const Call& call) {
  const TensorType& in = call.input(0).type();
  const auto mask = ReduceMean::reduced(p, in.shape.rank());
  const Steps x_steps = steps(in), y_steps = steps(call.output(0).type());
  Loops kept, reduced;  // a: steps in X, b: in Y
  for (std::size_t d = 0, k = 0; d < in.shape.rank(); ++d) {
    if (mask[d])
      reduced.add(in.shape[d], x_steps[d], 0);
    else
      kept.add(in.shape[d], x_steps[d], y_steps[k]);
    if (p.keepdims || !mask[d]) ++k;
  }
  if (kept.count == 0) kept.size[kept.count++] = 1;
  // The last kept loop runs inside, in blocks; the others, and its blocks, are spread over the threads.
  const std::size_t last = --kept.count;
  const std::int64_t inner = kept.size[last], blocks = (inner + kBlock - 1) / kBlock;
  const float* x = call.in<float>(0);
  float* y = call.out<float>(0);
  const std::int64_t grain = 1 + (1 << 14) / (1 + reduced.total() * std::min(inner, kBlock));
  parallel_for(kept.total() * blocks, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = i % blocks * kBlock, n = std::min(kBlock, inner - first);
      const Loops::Offsets at = kept.at(i / blocks, last);
      mean_block(reduced, x + at.a + first * kept.a[last], kept.a[last], n, y + at.b + first * kept.b[last],
                 kept.b[last]);
    }
  });
}

}  // namespace

template <>
Kernels<ReduceMean> kernels<ReduceMean, Backend::cpu>() {
  return {{"blocks_f32", accepts_all<ReduceMean>, run}};
}

}  // namespace d2deploy
