#include "operators/conv_transpose_relu/conv_transpose_relu.h"

#include "operators/conv_transpose/conv_transpose_onednn.h"

namespace d2deploy {

template <>
std::vector<KernelOf<ConvTransposeRelu>> kernels<ConvTransposeRelu, Backend::onednn>() {
  return onednn_transposed_kernels<ConvTransposeRelu, true>();
}

}  // namespace d2deploy
