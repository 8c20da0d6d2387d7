// What convolutions and transposed ones share on a GPU: how their maps and types reach kernels/simt/convolve.h.
#pragma once
#include "core/element_type.h"
#include "kernels/simt/convolve.h"
#include "operators/product_cuda.h"

namespace d2deploy {

/// Calls f with values of the types of input 0 and output 0, which is the same one or float32.
template <class F>
void with_sum_types(const Call& call, const F& f) {
  const bool wide = call.output(0).dtype() == DType::float32;
  with_real_type(call.input(0).dtype(), [&]<class T>(T x) { wide ? f(x, float()) : f(x, T()); });
}

inline simt::MapSteps map_steps(const Tensor& t) {
  const Strides4 s = strides4(t.type());
  return {s.n, s.c, s.h, s.w};
}

template <class T, class Y>
void launch_convolve(const char* name, const Call& call, const simt::ConvJob<T, Y>& job, std::int64_t cells) {
  constexpr std::int64_t kMost = 65535;  // CUDA's limit of gridDim.y and .z
  const auto tiles = [](std::int64_t count) { return (count + simt::kTileSide - 1) / simt::kTileSide; };
  const auto blocks = [=](std::int64_t count) { return static_cast<unsigned>(std::min(count, kMost)); };
  const std::int64_t down = tiles(call.output(0).dim(0) * cells), across = tiles(job.out_channels) * job.groups;
  if (down == 0 || across == 0) return;
  simt::launch(
      name, simt::convolve<T, Y, DeviceRows>,
      {{static_cast<unsigned>(down), blocks(across), blocks(job.phases())}, simt::kTileThreads, 0, stream_of(call)},
      job, rows_of_input(call, 0));
}

/// Why no convolution can be this call; empty: one can. `filter_size`: the products of a sum.
inline std::string reject_huge_convolution(const TensorType& y, std::int64_t filter_size) {
  constexpr std::int64_t kMost = std::int64_t{INT32_MAX} * simt::kTileSide;  // CUDA's limit of gridDim.x
  if (filter_size > INT32_MAX) return "takes filters of less than 2^31 numbers";
  if (y.shape.known() && y.shape.size() > kMost) return "takes outputs of less than 2^37 numbers";
  return {};
}

}  // namespace d2deploy
