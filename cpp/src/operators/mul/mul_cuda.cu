#include "operators/mul/mul.h"

#include "operators/binary_cuda.h"

namespace d2deploy {

template <>
Kernels<Mul> kernels<Mul, Backend::cuda>() {
  return binary_cuda_kernels<Mul, Times>();
}

}  // namespace d2deploy
