// The kernel for GPUs of pooling to a given size.
#pragma once
#include "operators/adaptive_pool/adaptive_pool.h"
#include "operators/maps_cuda.h"

namespace d2deploy {

template <class Op>
struct BinOf {
  DeviceMap<const float> x;
  std::int64_t height, width;  // of Y

  template <int kCount>
  SIMT_DEVICE void operator()(const MapCell& cell, Lanes<float, kCount>& y) const {
    const Bin rows(cell.h, height, x.height), columns(cell.w, width, x.width);
    double found[kCount];
    for (double& f : found) f = Op::kStart;
    for (std::int64_t h = rows.first; h < rows.end; ++h)
      for (std::int64_t w = columns.first; w < columns.end; ++w) {
        const auto values =
            x.template at<kCount>({cell.image, cell.c, static_cast<std::int32_t>(h), static_cast<std::int32_t>(w)});
        for (int i = 0; i < kCount; ++i) found[i] = Op::add(found[i], static_cast<double>(values.values[i]));
      }
    const std::int64_t cells = rows.cells() * columns.cells();
    for (int i = 0; i < kCount; ++i) y.values[i] = static_cast<float>(Op::finish(found[i], cells));
  }
};

template <class Op>
Kernels<Op> adaptive_pool_cuda_kernels() {
  return {{"bins_f32", [](const AdaptivePoolParams&, const CallSite& site) { return reject_large_images(site); },
           [](const AdaptivePoolParams& p, const Call& call) {
             const auto x = device_map<const float>(call.input(0));
             launch_fill<float>(Op::signature.type, call, BinOf<Op>{x, p.height, p.width});
           }}};
}

}  // namespace d2deploy
