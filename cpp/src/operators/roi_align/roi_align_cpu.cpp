#include "operators/roi_align/roi_align.h"

#include "core/element_type.h"
#include "kernels/instruction_sets.h"
#include "operators/roi_align/pooling.h"

namespace d2deploy {

FeatureMap feature_map(const Tensor& x, const Tensor& y, float scale) {
  const Strides4 s = strides4(x.type());
  const float factor = is_quantised(x.type()) ? x.type().scale / y.type().scale : 1.0F;
  const auto bytes = static_cast<std::int64_t>(size_of(x.dtype()));
  return {x.raw(), x.dim(0), x.dim(1), x.dim(2), x.dim(3), s.n, s.c, s.h, s.w, scale, bytes, factor};
}

void set_rois_and_output(RoiAlignJob& job, const Tensor& rois, Tensor& y) {
  job.rois = rois.data<float>();
  job.rows = rois.dim(0);
  job.columns = rois.dim(1);
  const Strides4 s = strides4(y.type());
  job.y = y.raw();
  job.y_stride_n = s.n;
  job.y_stride_c = s.c;
  job.y_stride_h = s.h;
  job.y_stride_w = s.w;
}

void run_separable_portable(const RoiAlignJob& job, void* scratch) {
  bool channels_last = job.y_stride_c == 1;
  for (const FeatureMap& map : job.maps) channels_last = channels_last && map.stride_c == 1;
  roi_align_separable(job, channels_last ? pool_bin_channels_last : pool_bin_any_layout, scratch);
}

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
  return has_avx512() ? reject_channels_last(site) : refuse_without_avx512();
}

std::string reject_channels_last(const CallSite& site) {
  for (const auto types : {site.inputs, site.outputs})
    for (const TensorType& t : types)
      if (t.shape.rank() == 4 && t.layout != Layout::channels_last) return "takes channels-last maps only";
  for (const TensorType& t : site.inputs)
    if (is_quantised(t) && t.dtype != site.outputs[0].dtype) return "some maps have a sign, others have none";
  return {};
}

namespace {

// `f` gets the job; it holds pointers into this frame.
template <class F>
void with_job(const RoIAlign::Params& p, const Call& call, const F& f) {
  if (call.output(0).size() == 0) return;
  const FeatureMap map = feature_map(call.input(0), call.output(0), p.spatial_scale);
  RoiAlignJob job{};
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

void run_separable(const RoIAlign::Params& p, const Call& call, PoolBin pool_bin) {
  with_job(p, call, [&](const RoiAlignJob& job) { roi_align_separable(job, pool_bin, call.scratch); });
}

template <>
Kernels<RoIAlign> kernels<RoIAlign, Backend::cpu>() {
  return {{"separable_int8", [](const RoIAlign::Params&, const CallSite& site) { return reject_channels_last(site); },
           [](const RoIAlign::Params& p, const Call& call) {
             run_separable(p, call, has_sign(call) ? pool_bin_s8 : pool_bin_u8);
           },
           prepare_separable, nullptr, DType::int8},
          {"separable_f32", accepts_all<RoIAlign>,
           [](const RoIAlign::Params& p, const Call& call) {
             with_job(p, call, [&](const RoiAlignJob& job) { run_separable_portable(job, call.scratch); });
           },
           prepare_separable},
          {"direct_f32", accepts_all<RoIAlign>,
           [](const RoIAlign::Params& p, const Call& call) { with_job(p, call, roi_align_direct); }}};
}

}  // namespace d2deploy
