#include "operators/sub/sub.h"

#include "operators/binary_cuda.h"

namespace d2deploy {

template <>
Kernels<Sub> kernels<Sub, Backend::cuda>() {
  return binary_cuda_kernels<Sub, Minus>();
}

}  // namespace d2deploy
