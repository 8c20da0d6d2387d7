// The portable kernel of FC and FCRelu.
#pragma once
#include "operators/fc/fc.h"

namespace d2deploy {

Prepared prepare_fc(const char* type, const FCParams& p, const CallSite& site);
void run_fc(const char* type, const FCParams& p, const Call& call, bool relu);

template <class Op>
Kernels<Op> fc_cpu_kernels() {
  return {{"tiles_f32", accepts_all<Op>,
           [](const FCParams& p, const Call& call) { run_fc(Op::signature.type, p, call, Op::relu); },
           [](const FCParams& p, const CallSite& site) { return prepare_fc(Op::signature.type, p, site); }}};
}

}  // namespace d2deploy
