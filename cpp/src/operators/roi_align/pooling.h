// What the kernels of RoIAlign and PyramidRoIAlign share. What is no template is defined in roi_align_cpu.cpp.
#pragma once
#include "core/element_type.h"
#include "kernels/roi_align.h"
#include "operators/roi_align/roi_align.h"

namespace d2deploy {

template <class T>
FeatureMap<T> feature_map(const Tensor& x, const Tensor& y, float scale) {
  const Strides4 s = strides4(x.type());
  const float factor = is_quantised(x.type()) ? x.type().scale / y.type().scale : 1.0F;
  return {x.data<T>(), x.dim(0), x.dim(1), x.dim(2), x.dim(3), s.n, s.c, s.h, s.w, scale, factor};
}
/// Fills what the output and the rois say in `job`.
template <class T>
void set_rois_and_output(RoiAlignJob<T>& job, const Tensor& rois, Tensor& y) {
  job.rois = rois.data<float>();
  job.rows = rois.dim(0);
  job.columns = rois.dim(1);
  const Strides4 s = strides4(y.type());
  job.y = y.data<T>();
  job.y_stride_n = s.n;
  job.y_stride_c = s.c;
  job.y_stride_h = s.h;
  job.y_stride_w = s.w;
}
/// Separable, with the portable loop that fits the layouts.
template <class T>
void run_separable_portable(const RoiAlignJob<T>& job, void* scratch) {
  bool channels_last = job.y_stride_c == 1;
  for (const FeatureMap<T>& map : job.maps) channels_last = channels_last && map.stride_c == 1;
  roi_align_separable(job, channels_last ? pool_bin_channels_last<T> : pool_bin_any_layout<T>, scratch);
}
/// Scratch memory for the separable loop over these maps.
Prepared prepare_separable(const RoiGrid& grid, std::int64_t rows, std::span<const TensorType> inputs);
Prepared prepare_separable(const RoIAlign::Params& p, const CallSite& site);
/// Why the loops over quantised numbers do not take the call: maps with a sign and maps without.
std::string reject_quantised(const CallSite& site);
/// Of a call on quantised numbers.
inline bool has_sign(const Call& call) { return call.output(0).dtype() == DType::int8; }
/// Why the AVX-512 loop does not take the call: another CPU, or a map that is not channels-last.
std::string reject_avx512(const CallSite& site);

template <class T>
void run_separable(const RoIAlign::Params& p, const Call& call, PoolBin<T> pool_bin);

}  // namespace d2deploy
