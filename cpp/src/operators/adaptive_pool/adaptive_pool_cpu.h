// The portable kernel of pooling to a given size.
#pragma once
#include "core/threads.h"
#include "operators/adaptive_pool/adaptive_pool.h"

namespace d2deploy {

template <class Op>
void run_adaptive_pool(const AdaptivePoolParams& p, const Call& call) {
  const TensorType &in = call.input(0).type(), &out = call.output(0).type();
  const Strides4 xs = strides4(in), ys = strides4(out);
  const std::int64_t channels = in.shape[1], h = in.shape[2], w = in.shape[3];
  const float* x = call.in<float>(0);
  float* y = call.out<float>(0);
  const std::int64_t cells = 1 + h * w / (p.height * p.width);
  parallel_for(out.shape.size(), 1 + (1 << 14) / cells, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t column = i % p.width, row = i / p.width % p.height, plane = i / (p.width * p.height);
      const std::int64_t n = plane / channels, c = plane % channels;
      const Bin rows(row, p.height, h), columns(column, p.width, w);
      const float* from = x + n * xs.n + c * xs.c;
      double found = Op::kStart;
      for (std::int64_t a = rows.first; a < rows.end; ++a)
        for (std::int64_t b = columns.first; b < columns.end; ++b)
          found = Op::add(found, static_cast<double>(from[a * xs.h + b * xs.w]));
      y[n * ys.n + c * ys.c + row * ys.h + column * ys.w] =
          static_cast<float>(Op::finish(found, rows.cells() * columns.cells()));
    }
  });
}

template <class Op>
Kernels<Op> adaptive_pool_cpu_kernels() {
  return {{"bins_f32", accepts_all<Op>, run_adaptive_pool<Op>}};
}

}  // namespace d2deploy
