// What the kernels of RoIAlign and PyramidRoIAlign share. Defined in roi_align_cpu.cpp.
#pragma once
#include "kernels/roi_align.h"
#include "operators/roi_align/roi_align.h"

namespace d2deploy {

FeatureMap feature_map(const Tensor& x, const Tensor& y, float scale);
/// Fills what the output and the rois say in `job`.
void set_rois_and_output(RoiAlignJob& job, const Tensor& rois, Tensor& y);
/// Separable, with the portable loop that fits the layouts.
void run_separable_portable(const RoiAlignJob& job, void* scratch);
/// Scratch memory for the separable loop over these maps.
Prepared prepare_separable(const RoiGrid& grid, std::int64_t rows, std::span<const TensorType> inputs);
Prepared prepare_separable(const RoIAlign::Params& p, const CallSite& site);
/// Why the loops over quantised numbers do not take the call: a map that is not channels-last, or maps with a sign and
/// maps without.
std::string reject_channels_last(const CallSite& site);
/// Of a call on quantised numbers.
inline bool has_sign(const Call& call) { return call.output(0).dtype() == DType::int8; }
/// Why the AVX-512 loop does not take the call: another CPU, or a map that is not channels-last.
std::string reject_avx512(const CallSite& site);

void run_separable(const RoIAlign::Params& p, const Call& call, PoolBin pool_bin);

}  // namespace d2deploy
