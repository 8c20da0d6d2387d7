#include "operators/conv_relu/conv_relu.h"

#include "operators/conv/conv_direct.h"

namespace d2deploy {

template <>
std::vector<KernelOf<ConvRelu>> kernels<ConvRelu, Backend::cpu>() {
  return direct_kernels<ConvRelu>();
}

}  // namespace d2deploy
