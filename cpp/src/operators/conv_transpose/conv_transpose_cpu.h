// The portable kernel of ConvTranspose and of what is fused with it.
#pragma once
#include <algorithm>
#include <vector>

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
  // Adds the filters of one input cell to one output cell, for all groups.
  const auto add = [&](const float* from, const float* filters, std::vector<float>& sums) {
    for (std::int64_t c = 0; c < x.dim(1); ++c) {
      float* sum = sums.data() + c / in_group * out_group;
      const float value = from[c * sx.c];
      for (std::int64_t m = 0; m < out_group; ++m) sum[m] += value * filters[c * sw.n + m * sw.c];
    }
  };
  parallel_for(y.dim(0) * y.dim(2), 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> sums(static_cast<std::size_t>(y.dim(1)));
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t n = row / y.dim(2), oy = row % y.dim(2);
      for (std::int64_t ox = 0; ox < y.dim(3); ++ox) {
        for (std::size_t m = 0; m < sums.size(); ++m) sums[m] = bias ? bias[m] : 0.0F;
        for (std::int64_t i = 0; i < at.kernel_h; ++i) {
          const std::int64_t ty = oy + at.pad_t - i;
          if (ty < 0 || ty % at.stride_h != 0 || ty / at.stride_h >= x.dim(2)) continue;
          for (std::int64_t j = 0; j < at.kernel_w; ++j) {
            const std::int64_t tx = ox + at.pad_l - j;
            if (tx < 0 || tx % at.stride_w != 0 || tx / at.stride_w >= x.dim(3)) continue;
            add(x.data<float>() + n * sx.n + ty / at.stride_h * sx.h + tx / at.stride_w * sx.w,
                w.data<float>() + i * sw.h + j * sw.w, sums);
          }
        }
        float* out = call.out<float>(0) + n * sy.n + oy * sy.h + ox * sy.w;
        for (std::int64_t m = 0; m < y.dim(1); ++m) {
          const float value = sums[static_cast<std::size_t>(m)];
          out[m * sy.c] = Op::relu && value < 0.0F ? 0.0F : value;
        }
      }
    }
  });
}

template <class Op>
Kernels<Op> conv_transpose_cpu_kernels() {
  return {{"direct_f32", accepts_all<Op>, run_transposed<Op>}};
}

}  // namespace d2deploy
