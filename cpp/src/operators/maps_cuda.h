// The kernel of operators that compute every cell of a feature map from cells of another one, on a GPU: pools, resizes.
#pragma once
#include <type_traits>

#include "kernels/simt/element.h"
#include "operators/device_call.h"

namespace d2deploy {

/// Neighbouring channels that a thread takes at once: those in 16 bytes where they lie together, else one.
template <class T, int kCount>
struct alignas(kCount * sizeof(T)) Lanes {
  T values[kCount];
};
template <class T>
inline constexpr int kWideLanes = 16 / sizeof(T);

/// The first channel of a cell that a thread works on.
struct MapCell {
  std::int64_t image;
  std::int32_t c, h, w;
};

/// A feature map in memory of the device. An image has less than 2^31 elements: see reject_large_images.
template <class T>
struct DeviceMap {
  T* data;
  std::int32_t channels, height, width;
  std::int64_t stride_n;
  std::int32_t stride_c, stride_h, stride_w;

  SIMT_HOST_DEVICE bool channels_last() const { return stride_c == 1 && stride_w == channels; }

  template <int kCount = 1>
  SIMT_DEVICE auto& at(const MapCell& i) const {
    using Chosen =
        std::conditional_t<std::is_const_v<T>, const Lanes<std::remove_const_t<T>, kCount>, Lanes<T, kCount>>;
    return *reinterpret_cast<Chosen*>(data + i.image * stride_n + i.c * stride_c + i.h * stride_h + i.w * stride_w);
  }
};

template <class T>
DeviceMap<T> device_map(const Tensor& t) {
  const Strides4 s = strides4(t.type());
  const auto narrow = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  // Kernels write through the maps of outputs only.
  return {static_cast<T*>(const_cast<void*>(t.raw())),
          narrow(t.dim(1)),
          narrow(t.dim(2)),
          narrow(t.dim(3)),
          s.n,
          narrow(s.c),
          narrow(s.h),
          narrow(s.w)};
}

inline std::string reject_large_images(const CallSite& site) {
  for (const TensorType* type : {&site.inputs[0], &site.outputs[0]})
    if (type->shape.known() && type->shape.size(1, 4) > INT32_MAX) return "takes images of less than 2^31 elements";
  return {};
}

/// f(cell, lanes) computes the channels of a cell from that of `cell` on.
template <int kCount, class T, class F>
SIMT_KERNEL fill_cells(DeviceMap<T> y, DeviceRows rows, F f) {
  using namespace simt;
  const auto height = static_cast<unsigned>(y.height), width = static_cast<unsigned>(y.width),
             channels = static_cast<unsigned>(y.channels) / kCount, step = gridDim.x * blockDim.x;
  const bool last = y.channels_last();
  for (std::int64_t image = blockIdx.y; image < rows.count(); image += gridDim.y)
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < channels * height * width; i += step) {
      const unsigned inner = last ? channels : width, middle = last ? width : height;
      const unsigned a = i % inner, b = i / inner % middle, c = i / inner / middle;
      const auto first = [](unsigned unit) { return static_cast<std::int32_t>(unit * kCount); };
      const auto place = [](unsigned x) { return static_cast<std::int32_t>(x); };
      const MapCell cell =
          last ? MapCell{image, first(a), place(c), place(b)} : MapCell{image, first(c), place(b), place(a)};
      f(cell, y.template at<kCount>(cell));
    }
}

inline bool is_aligned(const Tensor& t) { return reinterpret_cast<std::uintptr_t>(t.raw()) % 16 == 0; }

/// Fills y, whose rows are images. `aligned`: so are all maps that f reads and writes, and their channels lie as y's
/// do.
template <class T, class F>
void launch_fill(const char* name, const DeviceMap<T>& y, DeviceRows rows, bool aligned, simt::Stream stream,
                 const F& f) {
  constexpr unsigned kThreads = 256, kMostImages = 65535;  // CUDA's limit of gridDim.y
  const std::int64_t size = std::int64_t{y.channels} * y.height * y.width;
  if (size == 0 || rows.most == 0) return;
  const auto go = [&]<int kCount>(std::integral_constant<int, kCount>) {
    const auto units = static_cast<unsigned>(size / kCount);
    const unsigned threads = std::min(kThreads, (units + simt::kWarp - 1) / simt::kWarp * simt::kWarp);
    const unsigned blocks = (units + threads - 1) / threads;
    const auto images = static_cast<unsigned>(std::min<std::int64_t>(rows.most, kMostImages));
    simt::launch(name, fill_cells<kCount, T, F>, {{blocks, images}, threads, 0, stream}, y, rows, f);
  };
  if (aligned && y.channels_last() && y.channels % kWideLanes<T> == 0)
    go(std::integral_constant<int, kWideLanes<T>>{});
  else
    go(std::integral_constant<int, 1>{});
}

/// Fills output 0, whose elements are of type T, as those of input 0 are.
template <class T, class F>
void launch_fill(const char* name, const Call& call, const F& f) {
  const bool aligned = is_aligned(call.input(0)) && is_aligned(call.output(0));
  launch_fill(name, device_map<T>(call.output(0)), rows_of_input(call, 0), aligned, stream_of(call), f);
}

}  // namespace d2deploy
