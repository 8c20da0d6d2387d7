#include "operators/instance_norm/instance_norm.h"

#include "operators/group_norm/group_norm_cpu.h"

namespace d2deploy {

namespace {

// GroupNorm with as many groups as channels.
void run(const InstanceNorm::Params& p, const Call& call) {
  run_group_norm<float>(call.input(0).dim(1), p.epsilon, false, call);
}

Prepared prepare(const InstanceNorm::Params&, const CallSite& site) {
  return prepare_group_norm(site.inputs[0].shape[1], site);
}

}  // namespace

template <>
Kernels<InstanceNorm> kernels<InstanceNorm, Backend::cpu>() {
  return {{"two_pass_f32", accepts_all<InstanceNorm>, run, prepare}};
}

}  // namespace d2deploy
