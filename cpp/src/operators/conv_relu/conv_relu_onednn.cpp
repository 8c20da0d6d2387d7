#include "operators/conv_relu/conv_relu.h"

#include "operators/conv/conv_onednn.h"

namespace d2deploy {

template <>
std::vector<KernelOf<ConvRelu>> kernels<ConvRelu, Backend::onednn>() {
  return onednn_conv_kernels<ConvRelu>();
}

}  // namespace d2deploy
