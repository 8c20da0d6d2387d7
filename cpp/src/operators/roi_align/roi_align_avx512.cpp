#include "operators/roi_align/pooling.h"

namespace d2deploy {

template <>
Kernels<RoIAlign> kernels<RoIAlign, Backend::avx512>() {
  const auto separable = separable_kernels<RoIAlign, Avx512Bins>();
  return {separable[0], separable[1], separable[2]};
}

}  // namespace d2deploy
