#include "operators/sub/sub.h"

namespace d2deploy {

template <>
Kernels<Sub> kernels<Sub, Backend::cpu>() {
  return binary_kernels<Sub, Minus>();
}

}  // namespace d2deploy
