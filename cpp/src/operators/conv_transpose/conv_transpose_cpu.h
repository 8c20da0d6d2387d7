// The portable kernel of ConvTranspose and of what is fused with it.
#pragma once
#include <algorithm>

#include "core/threads.h"
#include "operators/conv_transpose/conv_transpose.h"

namespace d2deploy {

/// Gathers: each output row takes from the input rows that reach it, so threads never write the same cell.
template <class Op>
void run_transposed(const ConvTransposeParams& p, const Call& call) {
  const Tensor &x = call.input(0), &w = call.input(1);
  const Tensor& y = call.output(0);
  const TensorType types[] = {x.type(), w.type()};
  const TransposedWindow at = ConvTranspose::window(Op::signature.type, p, {types, {}});
  const Strides4 sx = strides4(x.type()), sw = strides4(w.type()), sy = strides4(y.type());
  const std::int64_t in_group = x.dim(1) / p.group, out_group = y.dim(1) / p.group;
  const float* bias = call.has_input(2) ? call.in<float>(2) : nullptr;
  constexpr std::int64_t kTile = 512;  // output channels that are summed at a time
  // Adds the filters of one input cell, of one group, to `tile` channels of one output cell.
  const auto add = [&](const float* from, const float* filters, std::int64_t tile, float* sums) {
    for (std::int64_t c = 0; c < in_group; ++c) {
      const float value = from[c * sx.c];
      for (std::int64_t m = 0; m < tile; ++m) sums[m] += value * filters[c * sw.n + m * sw.c];
    }
  };
  const auto cell = [&](std::int64_t n, std::int64_t oy, std::int64_t ox, std::int64_t group, std::int64_t first) {
    const std::int64_t channel = group * out_group + first, tile = std::min(kTile, out_group - first);
    float sums[kTile];
    for (std::int64_t m = 0; m < tile; ++m) sums[m] = bias ? bias[channel + m] : 0.0F;
    for (std::int64_t i = 0; i < at.kernel_h; ++i) {
      const std::int64_t ty = oy + at.pad_t - i;
      if (ty < 0 || ty % at.stride_h != 0 || ty / at.stride_h >= x.dim(2)) continue;
      for (std::int64_t j = 0; j < at.kernel_w; ++j) {
        const std::int64_t tx = ox + at.pad_l - j;
        if (tx < 0 || tx % at.stride_w != 0 || tx / at.stride_w >= x.dim(3)) continue;
        const std::int64_t in = group * in_group;
        add(x.data<float>() + n * sx.n + in * sx.c + ty / at.stride_h * sx.h + tx / at.stride_w * sx.w,
            w.data<float>() + in * sw.n + first * sw.c + i * sw.h + j * sw.w, tile, sums);
      }
    }
    float* out = call.out<float>(0) + n * sy.n + channel * sy.c + oy * sy.h + ox * sy.w;
    for (std::int64_t m = 0; m < tile; ++m) out[m * sy.c] = Op::relu && sums[m] < 0.0F ? 0.0F : sums[m];
  };
  parallel_for(y.dim(0) * y.dim(2), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t ox = 0; ox < y.dim(3); ++ox)
        for (std::int64_t group = 0; group < p.group; ++group)
          for (std::int64_t first = 0; first < out_group; first += kTile)
            cell(row / y.dim(2), row % y.dim(2), ox, group, first);
  });
}

template <class Op>
Kernels<Op> conv_transpose_cpu_kernels() {
  return {{"direct_f32", accepts_all<Op>, run_transposed<Op>}};
}

}  // namespace d2deploy
