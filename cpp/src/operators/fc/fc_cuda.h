// The kernels for GPUs of FC and FCRelu.
#pragma once
#include "operators/fc/fc.h"

namespace d2deploy {

namespace fc_on_gpu {

/// `type` is the operator's name, for messages.
std::string reject_narrow(const char* type, const FCParams& p, const CallSite& site);
void run_narrow(const char* type, const FCParams& p, const Call& call, bool relu);
void run_direct(const char* type, const FCParams& p, const Call& call, bool relu);

}  // namespace fc_on_gpu

template <class Op>
Kernels<Op> fc_cuda_kernels() {
  static constexpr const char* kType = Op::signature.type;
  return {{.name = "narrow",
           .reject = [](const FCParams& p, const CallSite& site) { return fc_on_gpu::reject_narrow(kType, p, site); },
           .run = [](const FCParams& p, const Call& call) { fc_on_gpu::run_narrow(kType, p, call, Op::relu); },
           .rank = [](const FCParams&, const CallSite&) { return 1; },
           .takes = Takes::any_real},
          {.name = "direct",
           .reject = accepts_all<Op>,
           .run = [](const FCParams& p, const Call& call) { fc_on_gpu::run_direct(kType, p, call, Op::relu); },
           .takes = Takes::any_real}};
}

}  // namespace d2deploy
