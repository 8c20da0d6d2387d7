// The kernel that GroupNorm and GroupNormRelu share.
#pragma once
#include "kernels/group_norm.h"
#include "operators/group_norm/group_norm.h"

namespace d2deploy {

template <class Op>
std::vector<KernelOf<Op>> group_norm_kernels() {
  const auto run = [](const GroupNormParams& p, const Call& call) {
    const auto moments = [&](std::size_t i) { return call.has_output(i) ? call.out<float>(i) : nullptr; };
    group_norm({Maps::of(call.input(0).type()), p.group, p.epsilon, Op::relu, call.in<float>(0), call.in<float>(1),
                call.in<float>(2), call.out<float>(0), moments(1), moments(2)},
               call.scratch);
  };
  const auto prepare = [](const GroupNormParams& p, const CallSite& site) {
    Prepared prepared;
    prepared.scratch_bytes = group_norm_scratch_bytes(Maps::of(site.inputs[0]), p.group);
    return prepared;
  };
  return {{"two_pass_f32", accepts_all<Op>, run, prepare}};
}

}  // namespace d2deploy
