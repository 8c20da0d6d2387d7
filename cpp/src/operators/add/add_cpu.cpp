#include "operators/add/add.h"

namespace d2deploy {

template <>
Kernels<Add> kernels<Add, Backend::cpu>() {
  return binary_kernels<Add, Plus>();
}

}  // namespace d2deploy
