#include "operators/roi_align/roi_align.h"

#include "kernels/instruction_sets.h"
#include "operators/roi_align/pooling.h"

namespace d2deploy {

Prepared prepare_separable(const RoiGrid& grid, std::int64_t rows, std::span<const TensorType> inputs) {
  std::int64_t height = 0, width = 0;
  for (const TensorType& t : inputs) {
    if (t.shape.rank() != 4) continue;
    height = std::max(height, t.shape[2]);
    width = std::max(width, t.shape[3]);
  }
  Prepared prepared;
  prepared.scratch_bytes = roi_align_scratch(grid, rows, height, width);
  return prepared;
}

std::string reject_avx512(const CallSite& site) {
  if (!has_avx512()) return refuse_without_avx512();
  for (const auto types : {site.inputs, site.outputs})
    for (const TensorType& t : types)
      if (t.shape.rank() == 4 && t.layout != Layout::channels_last) return "takes channels-last maps only";
  return reject_quantised(site);
}

std::string reject_quantised(const CallSite& site) {
  for (const TensorType& t : site.inputs)
    if (is_quantised(t) && t.dtype != site.outputs[0].dtype) return "some maps have a sign, others have none";
  return {};
}

namespace {

// `f` gets the job; it holds pointers into this frame.
template <class T, class F>
void with_job(const RoIAlign::Params& p, const Call& call, const F& f) {
  if (call.output(0).size() == 0) return;
  const FeatureMap<T> map = feature_map<T>(call.input(0), call.output(0), p.spatial_scale);
  RoiAlignJob<T> job{};
  job.op = RoIAlign::signature.type;
  job.grid = p.grid();
  job.maps = {&map, 1};
  set_rois_and_output(job, call.input(1), call.output(0));
  f(job);
}

}  // namespace

Prepared prepare_separable(const RoIAlign::Params& p, const CallSite& site) {
  return prepare_separable(p.grid(), site.inputs[1].shape[0], site.inputs);
}

template <class T>
void run_separable(const RoIAlign::Params& p, const Call& call, PoolBin<T> pool_bin) {
  with_job<T>(p, call, [&](const RoiAlignJob<T>& job) { roi_align_separable(job, pool_bin, call.scratch); });
}
template void run_separable(const RoIAlign::Params&, const Call&, PoolBin<float>);
template void run_separable(const RoIAlign::Params&, const Call&, PoolBin<BFloat16>);
template void run_separable(const RoIAlign::Params&, const Call&, PoolBin<std::uint8_t>);
template void run_separable(const RoIAlign::Params&, const Call&, PoolBin<std::int8_t>);

namespace {

template <class T>
void run_portable(const RoIAlign::Params& p, const Call& call) {
  with_job<T>(p, call, [&](const RoiAlignJob<T>& job) { run_separable_portable(job, call.scratch); });
}

void run_portable_int8(const RoIAlign::Params& p, const Call& call) {
  has_sign(call) ? run_portable<std::int8_t>(p, call) : run_portable<std::uint8_t>(p, call);
}

}  // namespace

template <>
Kernels<RoIAlign> kernels<RoIAlign, Backend::cpu>() {
  return {{.name = "separable_bf16",
           .reject = accepts_all<RoIAlign>,
           .run = run_portable<BFloat16>,
           .prepare = prepare_separable,
           .real = DType::bfloat16},
          {.name = "separable_int8",
           .reject = [](const RoIAlign::Params&, const CallSite& site) { return reject_quantised(site); },
           .run = run_portable_int8,
           .prepare = prepare_separable,
           .real = DType::int8},
          {"separable_f32", accepts_all<RoIAlign>, run_portable<float>, prepare_separable},
          {"direct_f32", accepts_all<RoIAlign>,
           [](const RoIAlign::Params& p, const Call& call) { with_job<float>(p, call, roi_align_direct); }}};
}

}  // namespace d2deploy
