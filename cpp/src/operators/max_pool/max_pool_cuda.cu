#include <limits>

#include "core/element_type.h"
#include "operators/maps_cuda.h"
#include "operators/max_pool/max_pool.h"

namespace d2deploy {

namespace {

template <class T>
struct LargestUnder {
  DeviceMap<const T> x;
  Window window;

  template <int kCount>
  SIMT_DEVICE void operator()(const MapCell& cell, Lanes<T, kCount>& y) const {
    const CellRange rows = window_cells(cell.h, window.pad_t, window.stride_h, window.kernel_h, x.height);
    const CellRange columns = window_cells(cell.w, window.pad_l, window.stride_w, window.kernel_w, x.width);
    float most[kCount];
    for (float& m : most) m = std::numeric_limits<float>::lowest();
    for (std::int64_t h = rows.begin; h < rows.end; ++h)
      for (std::int64_t w = columns.begin; w < columns.end; ++w) {
        const auto found =
            x.template at<kCount>({cell.image, cell.c, static_cast<std::int32_t>(h), static_cast<std::int32_t>(w)});
        for (int i = 0; i < kCount; ++i) {
          const float v = simt::to_float(found.values[i]);
          most[i] = v > most[i] ? v : most[i];
        }
      }
    for (int i = 0; i < kCount; ++i) y.values[i] = simt::from_float<T>(most[i]);
  }
};

void run(const WindowParams& p, const Call& call) {
  const Tensor& x = call.input(0);
  with_real_type(x.dtype(), [&]<class T>(T) {
    launch_fill<T>("MaxPool", call, LargestUnder<T>{device_map<const T>(x), MaxPool::window(p, x.shape())});
  });
}

}  // namespace

template <>
Kernels<MaxPool> kernels<MaxPool, Backend::cuda>() {
  return {{.name = "direct",
           .reject = [](const WindowParams&, const CallSite& site) { return reject_large_images(site); },
           .run = run,
           .takes = Takes::any_real}};
}

}  // namespace d2deploy
