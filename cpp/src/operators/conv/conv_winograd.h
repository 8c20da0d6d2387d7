// The kernel by Winograd's minimal filtering of Conv and of what is fused with it.
#pragma once
#include "kernels/winograd.h"
#include "operators/conv/conv.h"

namespace d2deploy {

std::string reject_winograd_conv(const char* type, const ConvParams& p, const CallSite& site);
Prepared prepare_winograd_conv(const char* type, const ConvParams& p, const CallSite& site);
void run_winograd_conv(const Call& call, ConvTail tail);
int rank_winograd_conv(const CallSite& site);

template <class Op>
Kernels<Op> conv_winograd_kernels() {
  constexpr int kAddend = 3;
  return {{"winograd_3x3_f32",
           [](const ConvParams& p, const CallSite& site) { return reject_winograd_conv(Op::signature.type, p, site); },
           [](const ConvParams&, const Call& call) { run_winograd_conv(call, Op::tail); },
           [](const ConvParams& p, const CallSite& site) {
             Prepared prepared = prepare_winograd_conv(Op::signature.type, p, site);
             if (Op::tail.add) prepared.accumulates = kAddend;
             return prepared;
           },
           [](const ConvParams&, const CallSite& site) { return rank_winograd_conv(site); }}};
}

}  // namespace d2deploy
