#include "operators/pyramid_roi_align/pyramid_roi_align.h"
#include "operators/roi_align/pooling_cuda.h"

namespace d2deploy {

namespace {

using Params = PyramidRoIAlign::Params;

void run(const Params& p, const Call& call) {
  if (call.output(0).size() == 0) return;
  with_real_type(call.input(1).dtype(), [&]<class T>(T) {
    PoolingCall<T> job = pooling_call<T>(p.grid(), call, 0);
    job.level_count = static_cast<int>(p.spatial_scales.size());
    for (std::size_t i = 0; i < p.spatial_scales.size(); ++i)
      job.maps[i] = device_map<T>(call, i + 1, p.spatial_scales[i]);
    job.levels = {static_cast<float>(p.roi_canonical_scale), static_cast<float>(p.roi_canonical_level), p.roi_min_level,
                  p.roi_max_level, p.legacy_plus_one ? 1.0F : 0.0F};
    launch_pooling("PyramidRoIAlign", job, stream_of(call));
  });
}

std::string reject(const Params& p, const CallSite&) {
  return p.spatial_scales.size() <= kMostPooledLevels ? "" : join("takes at most ", kMostPooledLevels, " levels");
}

void report(const Params&, const CallSite& site, const DeviceFault& fault) {
  (void)image_index(PyramidRoIAlign::signature.type, fault.row, static_cast<float>(fault.found),
                    site.inputs[1].shape[0]);
}

}  // namespace

template <>
Kernels<PyramidRoIAlign> kernels<PyramidRoIAlign, Backend::cuda>() {
  return {{.name = "direct", .reject = reject, .run = run, .report = report, .takes = Takes::any_real}};
}

}  // namespace d2deploy
