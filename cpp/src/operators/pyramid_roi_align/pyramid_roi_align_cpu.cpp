#include "operators/pyramid_roi_align/pyramid_roi_align.h"

#include <array>

#include "operators/pyramid_roi_align/pyramid_pooling.h"

namespace d2deploy {

namespace {

// `f` gets the job; it holds pointers into this frame.
template <class T, class F>
void with_job(const PyramidRoIAlign::Params& p, const Call& call, const F& f) {
  if (call.output(0).size() == 0) return;
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

}  // namespace

Prepared prepare_separable(const PyramidRoIAlign::Params& p, const CallSite& site) {
  return prepare_separable(p.grid(), site.inputs[0].shape[0], site.inputs);
}

template <class T>
void run_separable(const PyramidRoIAlign::Params& p, const Call& call, PoolBin<T> pool_bin) {
  with_job<T>(p, call, [&](const RoiAlignJob<T>& job) { roi_align_separable(job, pool_bin, call.scratch); });
}
template void run_separable(const PyramidRoIAlign::Params&, const Call&, PoolBin<float>);
template void run_separable(const PyramidRoIAlign::Params&, const Call&, PoolBin<BFloat16>);
template void run_separable(const PyramidRoIAlign::Params&, const Call&, PoolBin<std::uint8_t>);
template void run_separable(const PyramidRoIAlign::Params&, const Call&, PoolBin<std::int8_t>);

namespace {

template <class T>
void run_portable(const PyramidRoIAlign::Params& p, const Call& call) {
  with_job<T>(p, call, [&](const RoiAlignJob<T>& job) { run_separable_portable(job, call.scratch); });
}

void run_portable_int8(const PyramidRoIAlign::Params& p, const Call& call) {
  has_sign(call) ? run_portable<std::int8_t>(p, call) : run_portable<std::uint8_t>(p, call);
}

}  // namespace

template <>
Kernels<PyramidRoIAlign> kernels<PyramidRoIAlign, Backend::cpu>() {
  return {{.name = "separable_bf16",
           .reject = accepts_all<PyramidRoIAlign>,
           .run = run_portable<BFloat16>,
           .prepare = prepare_separable,
           .real = DType::bfloat16},
          {.name = "separable_int8",
           .reject = [](const PyramidRoIAlign::Params&, const CallSite& site) { return reject_quantised(site); },
           .run = run_portable_int8,
           .prepare = prepare_separable,
           .real = DType::int8},
          {"separable_f32", accepts_all<PyramidRoIAlign>, run_portable<float>, prepare_separable},
          {"direct_f32", accepts_all<PyramidRoIAlign>,
           [](const PyramidRoIAlign::Params& p, const Call& call) { with_job<float>(p, call, roi_align_direct); }}};
}

}  // namespace d2deploy
