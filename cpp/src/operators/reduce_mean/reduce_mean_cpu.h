// The portable kernel of what reduces dimensions to one number: it starts from Op::kStart, takes elements by Op::add,
// and ends with Op::finish.
#pragma once
#include <algorithm>

#include "core/threads.h"
#include "kernels/loops.h"
#include "operators/reduce_mean/reduction.h"

namespace d2deploy {

// Sums are kept in float64: float32 would lose digits over large maps. The order does not depend on the threads.
template <class Op>
double reduce_row(const float* x, std::int64_t n) {
  double lanes[4] = {Op::kStart, Op::kStart, Op::kStart, Op::kStart};
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (std::int64_t l = 0; l < 4; ++l) lanes[l] = Op::add(lanes[l], static_cast<double>(x[i + l]));
  for (; i < n; ++i) lanes[0] = Op::add(lanes[0], static_cast<double>(x[i]));
  return Op::add(Op::add(lanes[0], lanes[1]), Op::add(lanes[2], lanes[3]));
}

inline constexpr std::int64_t kReductionBlock = 256;  // outputs that are reduced side by side

// y[i] = the reduced loops, for n outputs that are x_step apart in X.
template <class Op>
void reduce_block(const Loops& reduced, const float* x, std::int64_t x_step, std::int64_t n, float* y,
                  std::int64_t y_step) {
  const std::int64_t terms = reduced.total();
  const bool row = reduced.count == 1 && reduced.a[0] == 1;
  double found[kReductionBlock];
  std::fill_n(found, n, Op::kStart);
  if (row) {
    for (std::int64_t i = 0; i < n; ++i) found[i] = reduce_row<Op>(x + i * x_step, terms);
  } else {
    for (std::int64_t k = 0; k < terms; ++k) {
      const float* at = x + reduced.at(k, reduced.count).a;
      if (x_step == 1)
        for (std::int64_t i = 0; i < n; ++i) found[i] = Op::add(found[i], static_cast<double>(at[i]));
      else
        for (std::int64_t i = 0; i < n; ++i) found[i] = Op::add(found[i], static_cast<double>(at[i * x_step]));
    }
  }
  for (std::int64_t i = 0; i < n; ++i) y[i * y_step] = static_cast<float>(Op::finish(found[i], terms));
}

template <class Op>
void run_reduction(const ReductionParams& p, const Call& call) {
  const TensorType& in = call.input(0).type();
  const auto mask = reduced_mask(Op::signature.type, p, in.shape.rank());
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
  const std::int64_t inner = kept.size[last], blocks = (inner + kReductionBlock - 1) / kReductionBlock;
  const float* x = call.in<float>(0);
  float* y = call.out<float>(0);
  const std::int64_t grain = 1 + (1 << 14) / (1 + reduced.total() * std::min(inner, kReductionBlock));
  parallel_for(kept.total() * blocks, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = i % blocks * kReductionBlock, n = std::min(kReductionBlock, inner - first);
      const Loops::Offsets at = kept.at(i / blocks, last);
      reduce_block<Op>(reduced, x + at.a + first * kept.a[last], kept.a[last], n, y + at.b + first * kept.b[last],
                       kept.b[last]);
    }
  });
}

template <class Op>
Kernels<Op> reduce_mean_cpu_kernels() {
  return {{"blocks_f32", accepts_all<Op>, run_reduction<Op>}};
}

}  // namespace d2deploy
