// The oneDNN kernel of FC and FCRelu: bias and ReLU in the same pass, weights packed once.
#pragma once
#include "kernels/onednn.h"
#include "operators/fc/fc.h"

namespace d2deploy {

std::string reject_onednn_fc(const char* type, const FCParams& p, const CallSite& site);
Prepared prepare_onednn_fc(const char* type, const FCParams& p, const CallSite& site, bool relu);
void run_onednn_fc(const Call& call);

template <class Op>
Kernels<Op> fc_onednn_kernels() {
  return {{"onednn_f32",
           [](const FCParams& p, const CallSite& site) { return reject_onednn_fc(Op::signature.type, p, site); },
           [](const FCParams&, const Call& call) { run_onednn_fc(call); },
           [](const FCParams& p, const CallSite& site) {
             return onednn::translated([&] { return prepare_onednn_fc(Op::signature.type, p, site, Op::relu); });
           }}};
}

}  // namespace d2deploy
