#include "operators/fc/fc_onednn.h"
#include "operators/fc_relu/fc_relu.h"

namespace d2deploy {

template <>
std::vector<KernelOf<FCRelu>> kernels<FCRelu, Backend::onednn>() {
  return onednn_fc_kernels<FCRelu, true>();
}

}  // namespace d2deploy
