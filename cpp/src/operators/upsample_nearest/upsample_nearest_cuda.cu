#include "core/element_type.h"
#include "operators/maps_cuda.h"
#include "operators/upsample_nearest/upsample_nearest.h"

namespace d2deploy {

namespace {

template <class T>
struct Square {
  DeviceMap<const T> x;
  std::int32_t scale;

  template <int kCount>
  SIMT_DEVICE void operator()(const MapCell& cell, Lanes<T, kCount>& y) const {
    y = x.template at<kCount>({cell.image, cell.c, cell.h / scale, cell.w / scale});
  }
};

void run(const UpsampleNearest::Params& p, const Call& call) {
  const Tensor& x = call.input(0);
  with_element_bytes(x.dtype(), [&]<class T>(T) {
    launch_fill<T>("UpsampleNearest", call, Square<T>{device_map<const T>(x), static_cast<std::int32_t>(p.scale)});
  });
}

}  // namespace

template <>
Kernels<UpsampleNearest> kernels<UpsampleNearest, Backend::cuda>() {
  return {{.name = "direct",
           .reject = [](const UpsampleNearest::Params&, const CallSite& site) { return reject_large_images(site); },
           .run = run,
           .takes = Takes::any_element}};
}

}  // namespace d2deploy
