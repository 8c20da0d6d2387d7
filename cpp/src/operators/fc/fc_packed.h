// The kernel by packed products of FC and FCRelu: where there is no oneDNN, or no AVX-512.
#pragma once
#include "kernels/packed.h"
#include "operators/fc/fc.h"

namespace d2deploy {

std::string reject_packed_fc(const char* type, const FCParams& p, const CallSite& site);
Prepared prepare_packed_fc(const char* type, const FCParams& p, const CallSite& site);
void run_packed_fc(const Call& call, bool relu);

template <class Op>
Kernels<Op> fc_packed_kernels() {
  return {{"packed_f32",
           [](const FCParams& p, const CallSite& site) { return reject_packed_fc(Op::signature.type, p, site); },
           [](const FCParams&, const Call& call) { run_packed_fc(call, Op::relu); },
           [](const FCParams& p, const CallSite& site) { return prepare_packed_fc(Op::signature.type, p, site); },
           [](const FCParams&, const CallSite&) { return rank_of_packed_rows(); }}};
}

}  // namespace d2deploy
