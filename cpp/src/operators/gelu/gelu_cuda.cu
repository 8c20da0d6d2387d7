#include "operators/gelu/gelu.h"
#include "operators/map/map_cuda.h"

namespace d2deploy {

template <>
Kernels<Gelu> kernels<Gelu, Backend::cuda>() {
  return map_cuda_kernels<Gelu>();
}

}  // namespace d2deploy
