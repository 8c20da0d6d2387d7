#include "core/element_type.h"
#include "operators/maps_cuda.h"
#include "operators/resize_nearest/resize_nearest.h"

namespace d2deploy {

namespace {

template <class T>
struct Nearest {
  DeviceMap<const T> x;
  ResizeScale scale;
  const float* scales;  // on the device, instead of `scale`, or null

  SIMT_DEVICE static std::int32_t source(std::int32_t i, float scale, std::int32_t size) {
    return std::min(static_cast<std::int32_t>(static_cast<float>(i) / scale), size - 1);
  }
  template <int kCount>
  SIMT_DEVICE void operator()(const MapCell& cell, Lanes<T, kCount>& y) const {
    const float down = scales == nullptr ? scale.h : scales[0], across = scales == nullptr ? scale.w : scales[1];
    y = x.template at<kCount>({cell.image, cell.c, source(cell.h, down, x.height), source(cell.w, across, x.width)});
  }
};

void run(const ResizeNearest::Params& p, const Call& call) {
  const Tensor& x = call.input(0);
  const float* scales = call.has_input(1) ? device_in<float>(call, 1) : nullptr;
  with_element_bytes(x.dtype(), [&]<class T>(T) {
    launch_fill<T>("ResizeNearest", call, Nearest<T>{device_map<const T>(x), {p.height_scale, p.width_scale}, scales});
  });
}

}  // namespace

template <>
Kernels<ResizeNearest> kernels<ResizeNearest, Backend::cuda>() {
  return {{.name = "direct",
           .reject = [](const ResizeNearest::Params&, const CallSite& site) { return reject_large_images(site); },
           .run = run,
           .takes = Takes::any_element}};
}

}  // namespace d2deploy
