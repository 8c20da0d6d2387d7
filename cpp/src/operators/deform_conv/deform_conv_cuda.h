// The kernel for GPUs of DeformConv and DeformConvRelu.
#pragma once
#include "operators/deform_conv/deform_conv.h"

namespace d2deploy {

namespace deform_conv_on_gpu {

std::string reject(const CallSite& site);
Prepared prepare(const CallSite& site);
/// `type` is the operator's name, for messages.
void run(const char* type, const DeformConvParams& p, const Call& call, bool relu);

}  // namespace deform_conv_on_gpu

template <class Op>
Kernels<Op> deform_conv_cuda_kernels() {
  return {{.name = "columns",
           .reject = [](const DeformConvParams&, const CallSite& site) { return deform_conv_on_gpu::reject(site); },
           .run = [](const DeformConvParams& p,
                     const Call& call) { deform_conv_on_gpu::run(Op::signature.type, p, call, Op::relu); },
           .prepare = [](const DeformConvParams&, const CallSite& site) { return deform_conv_on_gpu::prepare(site); },
           .takes = Takes::any_real}};
}

}  // namespace d2deploy
