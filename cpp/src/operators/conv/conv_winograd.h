// The kernel by Winograd's minimal filtering of Conv and of what is fused with it.
#pragma once
#include "kernels/winograd.h"
#include "operators/conv/conv.h"

namespace d2deploy {

std::string reject_winograd_conv(const char* type, const ConvParams& p, const CallSite& site, ConvTail tail);
Prepared prepare_winograd_conv(const char* type, const ConvParams& p, const CallSite& site);
void run_winograd_conv(const Call& call, ConvTail tail);
int rank_winograd_conv(const CallSite& site);

/// The kernel for one type of X.
template <class Op>
KernelOf<ConvParams> conv_winograd_kernel(const char* name, DType real) {
  KernelOf<ConvParams> kernel{name,
                              [](const ConvParams& p, const CallSite& site) {
                                return reject_winograd_conv(Op::signature.type, p, site, Op::tail);
                              },
                              [](const ConvParams&, const Call& call) { run_winograd_conv(call, Op::tail); },
                              [](const ConvParams& p, const CallSite& site) {
                                Prepared prepared = prepare_winograd_conv(Op::signature.type, p, site);
                                if (Op::tail.add) prepared.accumulates = kConvAddend;
                                return prepared;
                              },
                              [](const ConvParams&, const CallSite& site) { return rank_winograd_conv(site); }};
  kernel.real = real;
  return kernel;
}

template <class Op>
Kernels<Op> conv_winograd_kernels() {
  return {conv_winograd_kernel<Op>("winograd_3x3_f32", DType::float32),
          conv_winograd_kernel<Op>("winograd_3x3_bf16", DType::bfloat16)};
}

}  // namespace d2deploy
