// The kernels for GPUs of Conv and of what is fused with it.
#pragma once
#include "operators/conv/conv.h"

namespace d2deploy {

namespace conv_on_gpu {

/// `type` is the operator's name, for messages.
std::string reject_narrow(const char* type, const ConvParams& p, const CallSite& site);
void run_narrow(const char* type, const ConvParams& p, const Call& call, ConvTail tail);
std::string reject_direct(const CallSite& site);
void run_direct(const char* type, const ConvParams& p, const Call& call, ConvTail tail);

}  // namespace conv_on_gpu

template <class Op>
Kernels<Op> conv_cuda_kernels() {
  static constexpr const char* kType = Op::signature.type;
  return {
      {.name = "narrow",
       .reject = [](const ConvParams& p, const CallSite& site) { return conv_on_gpu::reject_narrow(kType, p, site); },
       .run = [](const ConvParams& p, const Call& call) { conv_on_gpu::run_narrow(kType, p, call, Op::tail); },
       .rank = [](const ConvParams&, const CallSite&) { return 1; },
       .takes = Takes::any_real},
      {.name = "direct",
       .reject = [](const ConvParams&, const CallSite& site) { return conv_on_gpu::reject_direct(site); },
       .run = [](const ConvParams& p, const Call& call) { conv_on_gpu::run_direct(kType, p, call, Op::tail); },
       .takes = Takes::any_real}};
}

}  // namespace d2deploy
