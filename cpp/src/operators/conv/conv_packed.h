// The kernel by packed products of Conv and of what is fused with it: for builds and CPUs for which oneDNN has nothing.
#pragma once
#include "operators/conv/conv.h"

namespace d2deploy {

/// `type` is the operator's name, for messages.
std::string reject_packed_conv(const ConvParams& p, const CallSite& site);
Prepared prepare_packed_conv(const char* type, const ConvParams& p, const CallSite& site);
void run_packed_conv(const Call& call, ConvTail tail);

template <class Op>
Kernels<Op> conv_packed_kernels() {
  return {{"packed_f32", reject_packed_conv,
           [](const ConvParams&, const Call& call) { run_packed_conv(call, Op::tail); },
           [](const ConvParams& p, const CallSite& site) {
             Prepared prepared = prepare_packed_conv(Op::signature.type, p, site);
             if (Op::tail.add) prepared.accumulates = kConvAddend;
             return prepared;
           }}};
}

}  // namespace d2deploy
