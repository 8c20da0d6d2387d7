#include "operators/pyramid_roi_align/pyramid_pooling.h"

namespace d2deploy {

template <>
Kernels<PyramidRoIAlign> kernels<PyramidRoIAlign, Backend::cpu>() {
  return portable_pooling_kernels<PyramidRoIAlign>();
}

}  // namespace d2deploy
