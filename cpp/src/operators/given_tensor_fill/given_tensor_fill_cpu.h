// The kernel of all fills that hold their values.
#pragma once
#include "operators/given_tensor_fill/given_tensor_fill.h"

namespace d2deploy {

void run_given_tensor(const char* type, const GivenTensorParams& p, const Call& call);

template <class Op>
Kernels<Op> given_tensor_fill_cpu_kernels() {
  return {{"copy", accepts_all<Op>,
           [](const GivenTensorParams& p, const Call& call) { run_given_tensor(Op::signature.type, p, call); }}};
}

}  // namespace d2deploy
