// Compiled for AVX-512: only the inner loop lives here, all else stands in pyramid_roi_align_cpu.cpp.
#include "kernels/roi_align_simd.h"
#include "operators/pyramid_roi_align/pyramid_pooling.h"

namespace d2deploy {

template <>
Kernels<PyramidRoIAlign> kernels<PyramidRoIAlign, Backend::avx512>() {
  return pyramid_roi_align_avx512_kernels([](const PyramidRoIAlign::Params& p, const Call& call) {
    constexpr int kBytes = 64;
    run_separable(p, call, pool_bin_channels_last<kBytes>);
  });
}

}  // namespace d2deploy
