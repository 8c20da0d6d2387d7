// The portable kernel of DeformConv and DeformConvRelu.
#pragma once
#include "core/threads.h"
#include "operators/deform_conv/deform_places.h"

namespace d2deploy {

/// X at a place, in one channel: `x` points to its first cell.
inline float interpolated(const float* x, const Strides4& steps, const DeformPlaces::Place& place) {
  float sum = 0;
  for (std::int64_t r = 0; r < place.rows.count; ++r) {
    float row = 0;
    for (std::int64_t c = 0; c < place.columns.count; ++c)
      row += place.columns.weights[c] * x[(place.rows.first + r) * steps.h + (place.columns.first + c) * steps.w];
    sum += place.rows.weights[r] * row;
  }
  return place.weight * sum;
}

template <class Op>
void run_direct_deform_conv(const DeformConvParams& p, const Call& call) {
  const Tensor &x = call.input(0), &w = call.input(2);
  const DeformedWindow window = deformed_window(Op::signature.type, p, x.shape());
  const DeformPlaces places(window, call);
  const Strides4 in = strides4(x.type()), filter = strides4(w.type()), out = strides4(call.output(0).type());
  const std::int64_t filters = w.dim(0) / p.group, channels = w.dim(1), of_offset = x.dim(1) / p.deformable_group;
  const float *const data = call.in<float>(0), *const weights = call.in<float>(2),
                     *const bias = call.has_input(3) ? call.in<float>(3) : nullptr;
  float* const sums = call.out<float>(0);
  parallel_for(x.dim(0) * window.out_height * window.out_width, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t image = i / window.out_width / window.out_height,
                         out_y = i / window.out_width % window.out_height, out_x = i % window.out_width;
      float* const y = sums + image * out.n + out_y * out.h + out_x * out.w;
      for (std::int64_t m = 0; m < w.dim(0); ++m) y[m * out.c] = bias == nullptr ? 0.0F : bias[m];
      for (std::int64_t c = 0; c < x.dim(1); ++c)
        for (std::int64_t cell = 0; cell < window.cells(); ++cell) {
          const auto place = places.at(image, out_y, out_x, c / of_offset, cell);
          if (!place.counts()) continue;
          const float value = interpolated(data + image * in.n + c * in.c, in, place);
          const std::int64_t first = c / channels * filters;
          const float* const seen = weights + first * filter.n + c % channels * filter.c +
                                    cell / window.kernel_w * filter.h + cell % window.kernel_w * filter.w;
          for (std::int64_t m = 0; m < filters; ++m) y[(first + m) * out.c] += value * seen[m * filter.n];
        }
      for (std::int64_t m = 0; Op::relu && m < w.dim(0); ++m)
        if (y[m * out.c] < 0.0F) y[m * out.c] = 0;
    }
  });
}

template <class Op>
Kernels<Op> deform_conv_cpu_kernels() {
  return {{"direct_f32", accepts_all<Op>, run_direct_deform_conv<Op>}};
}

}  // namespace d2deploy
