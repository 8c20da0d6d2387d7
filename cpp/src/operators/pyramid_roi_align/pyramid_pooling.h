// What the kernels of PyramidRoIAlign share. Defined in pyramid_roi_align_cpu.cpp.
#pragma once
#include "operators/pyramid_roi_align/pyramid_roi_align.h"
#include "operators/roi_align/pooling.h"

namespace d2deploy {

Prepared prepare_separable(const PyramidRoIAlign::Params& p, const CallSite& site);
template <class T>
void run_separable(const PyramidRoIAlign::Params& p, const Call& call, PoolBin<T> pool_bin);

}  // namespace d2deploy
