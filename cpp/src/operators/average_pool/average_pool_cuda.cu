#include "core/element_type.h"
#include "operators/average_pool/average_pool.h"
#include "operators/maps_cuda.h"

namespace d2deploy {

namespace {

// Sums are kept in float64, as the portable kernel does.
template <class T>
struct MeanUnder {
  DeviceMap<const T> x;
  Window window;
  bool include_pad;

  template <int kCount>
  SIMT_DEVICE void operator()(const MapCell& cell, Lanes<T, kCount>& y) const {
    const CellRange rows = window_cells(cell.h, window.pad_t, window.stride_h, window.kernel_h, x.height);
    const CellRange columns = window_cells(cell.w, window.pad_l, window.stride_w, window.kernel_w, x.width);
    double sum[kCount] = {};
    for (std::int64_t h = rows.begin; h < rows.end; ++h)
      for (std::int64_t w = columns.begin; w < columns.end; ++w) {
        const auto found =
            x.template at<kCount>({cell.image, cell.c, static_cast<std::int32_t>(h), static_cast<std::int32_t>(w)});
        for (int i = 0; i < kCount; ++i) sum[i] += static_cast<double>(simt::to_float(found.values[i]));
      }
    const std::int64_t inside =
        std::max<std::int64_t>(rows.end - rows.begin, 0) * std::max<std::int64_t>(columns.end - columns.begin, 0);
    const std::int64_t size = include_pad ? window.kernel_h * window.kernel_w : inside;
    const double factor = size == 0 ? 0.0 : 1.0 / static_cast<double>(size);
    for (int i = 0; i < kCount; ++i) y.values[i] = simt::from_float<T>(static_cast<float>(sum[i] * factor));
  }
};

void run(const AveragePool::Params& p, const Call& call) {
  const Tensor& x = call.input(0);
  with_real_type(x.dtype(), [&]<class T>(T) {
    const Window window = pool_window(AveragePool::signature.type, p, x.shape());
    launch_fill<T>("AveragePool", call, MeanUnder<T>{device_map<const T>(x), window, p.count_include_pad});
  });
}

}  // namespace

template <>
Kernels<AveragePool> kernels<AveragePool, Backend::cuda>() {
  return {{.name = "direct",
           .reject = [](const AveragePool::Params&, const CallSite& site) { return reject_large_images(site); },
           .run = run,
           .takes = Takes::any_real}};
}

}  // namespace d2deploy
