#include "operators/pyramid_roi_align/pyramid_pooling.h"

namespace d2deploy {

template <>
Kernels<PyramidRoIAlign> kernels<PyramidRoIAlign, Backend::avx512>() {
  const auto separable = separable_kernels<PyramidRoIAlign, Avx512Bins>();
  return {separable[0], separable[1], separable[2]};
}

}  // namespace d2deploy
