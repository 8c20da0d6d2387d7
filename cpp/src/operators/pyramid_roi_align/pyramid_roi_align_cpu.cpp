#include "operators/pyramid_roi_align/pyramid_roi_align.h"

#include <array>

#include "operators/pyramid_roi_align/pyramid_pooling.h"

namespace d2deploy {

namespace {

// `f` gets the job; it holds pointers into this frame.
template <class F>
void with_job(const PyramidRoIAlign::Params& p, const Call& call, const F& f) {
  if (call.output(0).size() == 0) return;
  constexpr std::size_t kMostLevels = 16;
  std::array<FeatureMap, kMostLevels> maps{};
  const std::size_t levels = p.spatial_scales.size();
  check<Unsupported>(levels <= kMostLevels, "PyramidRoIAlign: takes at most ", kMostLevels, " levels, got ", levels);
  for (std::size_t i = 0; i < levels; ++i)
    maps[i] = feature_map(call.input(i + 1), call.output(0), p.spatial_scales[i]);
  RoiAlignJob job{};
  job.op = PyramidRoIAlign::signature.type;
  job.grid = p.grid();
  job.maps = std::span<const FeatureMap>(maps.data(), levels);
  job.levels = {static_cast<float>(p.roi_canonical_scale), static_cast<float>(p.roi_canonical_level), p.roi_min_level,
                p.roi_max_level, p.legacy_plus_one ? 1.0F : 0.0F};
  set_rois_and_output(job, call.input(0), call.output(0));
  f(job);
}

}  // namespace

Prepared prepare_separable(const PyramidRoIAlign::Params& p, const CallSite& site) {
  return prepare_separable(p.grid(), site.inputs[0].shape[0], site.inputs);
}

void run_separable(const PyramidRoIAlign::Params& p, const Call& call, PoolBin pool_bin) {
  with_job(p, call, [&](const RoiAlignJob& job) { roi_align_separable(job, pool_bin, call.scratch); });
}

template <>
Kernels<PyramidRoIAlign> kernels<PyramidRoIAlign, Backend::cpu>() {
  return {{"separable_int8",
           [](const PyramidRoIAlign::Params&, const CallSite& site) { return reject_channels_last(site); },
           [](const PyramidRoIAlign::Params& p, const Call& call) {
             run_separable(p, call, has_sign(call) ? pool_bin_s8 : pool_bin_u8);
           },
           prepare_separable, nullptr, DType::int8},
          {"separable_f32", accepts_all<PyramidRoIAlign>,
           [](const PyramidRoIAlign::Params& p, const Call& call) {
             with_job(p, call, [&](const RoiAlignJob& job) { run_separable_portable(job, call.scratch); });
           },
           prepare_separable},
          {"direct_f32", accepts_all<PyramidRoIAlign>,
           [](const PyramidRoIAlign::Params& p, const Call& call) { with_job(p, call, roi_align_direct); }}};
}

}  // namespace d2deploy
