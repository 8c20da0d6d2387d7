// What the kernels of RoIAlign and PyramidRoIAlign share. What is no template is defined in roi_align_cpu.cpp.
#pragma once
#include <array>

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
/// Scratch memory for the separable loop over these maps.
Prepared prepare_separable(const RoiGrid& grid, std::int64_t rows, std::span<const TensorType> inputs);

/// The call of an operator as a job: `rois` is the input that they are, and `with_job<T>` calls f with the job, which
/// may hold pointers into its frame.
template <class Op>
struct Pooling;

template <>
struct Pooling<RoIAlign> {
  static constexpr std::size_t rois = 1;
  template <class T, class F>
  static void with_job(const RoIAlign::Params& p, const Call& call, const F& f) {
    const FeatureMap<T> map = feature_map<T>(call.input(0), call.output(0), p.spatial_scale);
    RoiAlignJob<T> job{};
    job.op = RoIAlign::signature.type;
    job.grid = p.grid();
    job.maps = {&map, 1};
    set_rois_and_output(job, call.input(1), call.output(0));
    f(job);
  }
};

/// The loops over bins of one instruction set: the kernels' names, why they do not take a call, and the one for a job.
struct PortableBins {
  static constexpr std::array names{"separable_f32", "separable_bf16", "separable_int8"};
  static std::string reject(const CallSite& site);
  template <class T>
  static PoolBin<T> pick(const RoiAlignJob<T>& job) {
    bool channels_last = job.y_stride_c == 1;
    for (const FeatureMap<T>& map : job.maps) channels_last = channels_last && map.stride_c == 1;
    return portable_pool_bin<T>(channels_last);
  }
};
struct Avx512Bins {
  static constexpr std::array names{"separable_f32_avx512", "separable_bf16_avx512", "separable_int8_avx512"};
  static std::string reject(const CallSite& site);
  template <class T>
  static PoolBin<T> pick(const RoiAlignJob<T>&) {
    return pool_bin_channels_last_avx512;
  }
};

template <class Op, class Bins, class T>
void run_separable(const typename Op::Params& p, const Call& call) {
  if (call.output(0).size() == 0) return;
  Pooling<Op>::template with_job<T>(
      p, call, [&](const RoiAlignJob<T>& job) { roi_align_separable(job, Bins::template pick<T>(job), call.scratch); });
}

/// The kernels with these loops, for float32, bfloat16 and quantised numbers.
template <class Op, class Bins>
std::array<KernelOf<typename Op::Params>, 3> separable_kernels() {
  using Params = typename Op::Params;
  const KernelOf<Params> float32{.name = Bins::names[0],
                                 .reject = [](const Params&, const CallSite& site) { return Bins::reject(site); },
                                 .run = run_separable<Op, Bins, float>,
                                 .prepare =
                                     [](const Params& p, const CallSite& site) {
                                       const Shape& rois = site.inputs[Pooling<Op>::rois].shape;
                                       return prepare_separable(p.grid(), rois[0], site.inputs);
                                     }};
  KernelOf<Params> bfloat16 = float32, int8 = float32;
  bfloat16.name = Bins::names[1];
  bfloat16.real = DType::bfloat16;
  bfloat16.run = run_separable<Op, Bins, BFloat16>;
  int8.name = Bins::names[2];
  int8.real = DType::int8;
  int8.run = [](const Params& p, const Call& call) {
    call.output(0).dtype() == DType::int8 ? run_separable<Op, Bins, std::int8_t>(p, call)
                                          : run_separable<Op, Bins, std::uint8_t>(p, call);
  };
  return {float32, bfloat16, int8};
}

/// The kernels for every CPU.
template <class Op>
Kernels<Op> portable_pooling_kernels() {
  using Params = typename Op::Params;
  const auto separable = separable_kernels<Op, PortableBins>();
  return {
      separable[0], separable[1], separable[2], {"direct_f32", accepts_all<Op>, [](const Params& p, const Call& call) {
                                                   if (call.output(0).size() != 0)
                                                     Pooling<Op>::template with_job<float>(p, call, roi_align_direct);
                                                 }}};
}

}  // namespace d2deploy
