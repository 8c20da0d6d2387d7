#include "operators/add/add.h"

#include "operators/binary_cuda.h"

namespace d2deploy {

template <>
Kernels<Add> kernels<Add, Backend::cuda>() {
  return binary_cuda_kernels<Add, Plus>();
}

}  // namespace d2deploy
