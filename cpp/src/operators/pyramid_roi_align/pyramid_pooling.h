// What the kernels of PyramidRoIAlign share; not inline for the reason in roi_align/pooling.h.
#pragma once
#include "operators/pyramid_roi_align/pyramid_roi_align.h"
#include "operators/roi_align/pooling.h"

namespace d2deploy {

using RunPyramidRoIAlign = void (*)(const PyramidRoIAlign::Params&, const Call&);
Kernels<PyramidRoIAlign> pyramid_roi_align_avx512_kernels(RunPyramidRoIAlign run);
void run_separable(const PyramidRoIAlign::Params& p, const Call& call, PoolBin pool_bin);

}  // namespace d2deploy
