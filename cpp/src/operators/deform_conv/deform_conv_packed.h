// The fast kernel for CPUs of DeformConv and DeformConvRelu: what the deformed windows see is interpolated in vectors
// of channels, block by block, on its way into packed products.
#pragma once
#include "operators/deform_conv/deform_conv.h"

namespace d2deploy {

/// `type` is the operator's name, for messages.
std::string reject_packed_deform_conv(const DeformConvParams& p, const CallSite& site);
Prepared prepare_packed_deform_conv(const char* type, const DeformConvParams& p, const CallSite& site);
void run_packed_deform_conv(const Call& call, bool relu);

template <class Op>
Kernels<Op> deform_conv_packed_kernels() {
  return {{.name = "packed",
           .reject = reject_packed_deform_conv,
           .run = [](const DeformConvParams&, const Call& call) { run_packed_deform_conv(call, Op::relu); },
           .prepare = [](const DeformConvParams& p,
                         const CallSite& site) { return prepare_packed_deform_conv(Op::signature.type, p, site); },
           .takes = Takes::any_real}};
}

}  // namespace d2deploy
