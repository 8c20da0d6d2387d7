#include "operators/conv_transpose_relu/conv_transpose_relu.h"

#include "operators/conv_transpose/conv_transpose_direct.h"

namespace d2deploy {

template <>
std::vector<KernelOf<ConvTransposeRelu>> kernels<ConvTransposeRelu, Backend::cpu>() {
  return {{"direct_f32", accepts_all<ConvTransposeRelu>, run_transposed<ConvTransposeRelu, true>}};
}

}  // namespace d2deploy
