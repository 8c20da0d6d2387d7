#include "operators/conv_add_relu/conv_add_relu.h"

#include "operators/conv/conv_direct.h"

namespace d2deploy {

template <>
std::vector<KernelOf<ConvAddRelu>> kernels<ConvAddRelu, Backend::cpu>() {
  return direct_kernels<ConvAddRelu>();
}

}  // namespace d2deploy
