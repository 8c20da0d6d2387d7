#include "operators/conv_add_relu/conv_add_relu.h"

#include "operators/conv/conv_onednn.h"

namespace d2deploy {

template <>
std::vector<KernelOf<ConvAddRelu>> kernels<ConvAddRelu, Backend::onednn>() {
  return onednn_conv_kernels<ConvAddRelu>();
}

}  // namespace d2deploy
