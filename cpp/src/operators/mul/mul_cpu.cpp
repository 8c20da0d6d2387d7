#include "operators/mul/mul.h"

namespace d2deploy {

template <>
Kernels<Mul> kernels<Mul, Backend::cpu>() {
  return binary_kernels<Mul, Times>();
}

}  // namespace d2deploy
