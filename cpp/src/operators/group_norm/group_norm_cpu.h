// The kernel that GroupNorm and GroupNormRelu share.
#pragma once
#include "kernels/group_norm.h"
#include "operators/group_norm/group_norm.h"
#include "operators/planned_scratch.h"

namespace d2deploy {

/// Runs the task of a call whose inputs are X, gamma and beta, and whose outputs are Y, mean and inv_std.
template <class T>
void run_group_norm(std::int64_t groups, float epsilon, bool relu, const Call& call) {
  const Maps maps = Maps::of(call.input(0).type());
  const auto moments = [&](std::size_t i) { return call.has_output(i) ? call.out<float>(i) : nullptr; };
  const CallScratch scratch(call, group_norm_scratch_bytes(maps, groups));
  const GroupNormTask<T> task{
      maps,           groups,     epsilon,   relu, call.in<T>(0), call.in<float>(1), call.in<float>(2),
      call.out<T>(0), moments(1), moments(2)};
  group_norm(task, scratch.get());
}

inline Prepared prepare_group_norm(std::int64_t groups, const CallSite& site) {
  const TensorType& x = site.inputs[0];
  return plan_scratch(x.shape.known() ? group_norm_scratch_bytes(Maps::of(x), groups) : 0);
}

template <class Op, class T>
KernelOf<GroupNormParams> group_norm_kernel(const char* name) {
  return {
      .name = name,
      .reject = accepts_all<Op>,
      .run = [](const GroupNormParams& p, const Call& call) { run_group_norm<T>(p.group, p.epsilon, Op::relu, call); },
      .prepare = [](const GroupNormParams& p, const CallSite& site) { return prepare_group_norm(p.group, site); },
      .real = kDType<T>};
}

template <class Op>
Kernels<Op> group_norm_cpu_kernels() {
  return {group_norm_kernel<Op, BFloat16>("two_pass_bf16"), group_norm_kernel<Op, float>("two_pass_f32")};
}

}  // namespace d2deploy
