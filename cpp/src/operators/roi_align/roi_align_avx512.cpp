// Compiled for AVX-512: only the inner loop lives here, all else stands in roi_align_cpu.cpp.
#include "kernels/roi_align_simd.h"
#include "operators/roi_align/pooling.h"

namespace d2deploy {

template <>
Kernels<RoIAlign> kernels<RoIAlign, Backend::avx512>() {
  return roi_align_avx512_kernels([](const RoIAlign::Params& p, const Call& call) {
    constexpr int kBytes = 64;
    run_separable(p, call, pool_bin_channels_last<kBytes>);
  });
}

}  // namespace d2deploy
