#include "operators/conv_add/conv_add.h"

#include "operators/conv/conv_direct.h"

namespace d2deploy {

template <>
std::vector<KernelOf<ConvAdd>> kernels<ConvAdd, Backend::cpu>() {
  return direct_kernels<ConvAdd>();
}

}  // namespace d2deploy
