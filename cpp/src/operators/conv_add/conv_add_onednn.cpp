#include "operators/conv_add/conv_add.h"

#include "operators/conv/conv_onednn.h"

namespace d2deploy {

template <>
std::vector<KernelOf<ConvAdd>> kernels<ConvAdd, Backend::onednn>() {
  return onednn_conv_kernels<ConvAdd>();
}

}  // namespace d2deploy
