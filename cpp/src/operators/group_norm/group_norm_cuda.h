// The kernel for GPUs that GroupNorm, GroupNormRelu and InstanceNorm share.
#pragma once
#include "operators/group_norm/group_norm.h"

namespace d2deploy {

namespace group_norm_on_gpu {

std::string reject(const CallSite& site);
Prepared prepare(std::int64_t groups, const CallSite& site);
/// Of a call whose inputs are X, gamma and beta, and whose outputs are Y, mean and inv_std.
void run(const char* type, std::int64_t groups, float epsilon, bool relu, const Call& call);

}  // namespace group_norm_on_gpu

template <class Op>
Kernels<Op> group_norm_cuda_kernels() {
  return {
      {.name = "moments",
       .reject = [](const GroupNormParams&, const CallSite& site) { return group_norm_on_gpu::reject(site); },
       .run = [](const GroupNormParams& p,
                 const Call& call) { group_norm_on_gpu::run(Op::signature.type, p.group, p.epsilon, Op::relu, call); },
       .prepare = [](const GroupNormParams& p,
                     const CallSite& site) { return group_norm_on_gpu::prepare(p.group, site); },
       .takes = Takes::any_real}};
}

}  // namespace d2deploy
