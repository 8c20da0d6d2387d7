// The kernel for GPUs of ConvTranspose and of what is fused with it.
#pragma once
#include "operators/conv_transpose/conv_transpose.h"

namespace d2deploy {

namespace transposed_on_gpu {

std::string reject(const CallSite& site);
/// `type` is the operator's name, for messages.
void run(const char* type, const ConvTransposeParams& p, const Call& call, bool relu);

}  // namespace transposed_on_gpu

template <class Op>
Kernels<Op> conv_transpose_cuda_kernels() {
  return {{.name = "direct",
           .reject = [](const ConvTransposeParams&, const CallSite& site) { return transposed_on_gpu::reject(site); },
           .run = [](const ConvTransposeParams& p,
                     const Call& call) { transposed_on_gpu::run(Op::signature.type, p, call, Op::relu); },
           .takes = Takes::any_real}};
}

}  // namespace d2deploy
