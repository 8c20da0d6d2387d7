// The call of PyramidRoIAlign as a job.
#pragma once
#include "operators/pyramid_roi_align/pyramid_roi_align.h"
#include "operators/roi_align/pooling.h"

namespace d2deploy {

template <>
struct Pooling<PyramidRoIAlign> {
  static constexpr std::size_t rois = 0;
  template <class T, class F>
  static void with_job(const PyramidRoIAlign::Params& p, const Call& call, const F& f) {
    constexpr std::size_t kMostLevels = 16;
    std::array<FeatureMap<T>, kMostLevels> maps{};
    const std::size_t levels = p.spatial_scales.size();
    check<Unsupported>(levels <= kMostLevels, "PyramidRoIAlign: takes at most ", kMostLevels, " levels, got ", levels);
    for (std::size_t i = 0; i < levels; ++i)
      maps[i] = feature_map<T>(call.input(i + 1), call.output(0), p.spatial_scales[i]);
    RoiAlignJob<T> job{};
    job.op = PyramidRoIAlign::signature.type;
    job.grid = p.grid();
    job.maps = std::span<const FeatureMap<T>>(maps.data(), levels);
    job.levels = {static_cast<float>(p.roi_canonical_scale), static_cast<float>(p.roi_canonical_level), p.roi_min_level,
                  p.roi_max_level, p.legacy_plus_one ? 1.0F : 0.0F};
    set_rois_and_output(job, call.input(0), call.output(0));
    f(job);
  }
};

}  // namespace d2deploy
