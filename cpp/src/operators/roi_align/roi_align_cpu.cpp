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

std::string PortableBins::reject(const CallSite& site) {
  for (const TensorType& t : site.inputs)
    if (is_quantised(t) && t.dtype != site.outputs[0].dtype) return "some maps have a sign, others have none";
  return {};
}

std::string Avx512Bins::reject(const CallSite& site) {
  if (!has_avx512()) return refuse_without_avx512();
  for (const auto types : {site.inputs, site.outputs})
    for (const TensorType& t : types)
      if (t.shape.rank() == 4 && t.layout != Layout::channels_last) return "takes channels-last maps only";
  return PortableBins::reject(site);
}

template <>
Kernels<RoIAlign> kernels<RoIAlign, Backend::cpu>() {
  return portable_pooling_kernels<RoIAlign>();
}

}  // namespace d2deploy
