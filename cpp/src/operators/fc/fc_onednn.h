// The oneDNN kernel of FC and FCRelu: bias and ReLU in the same pass, weights packed once.
#pragma once
#include "operators/fc/fc.h"
#include "operators/onednn_weights.h"

namespace d2deploy {

std::string reject_onednn_fc(const char* type, const FCParams& p, const CallSite& site);
Prepared prepare_onednn_fc(const char* type, const FCParams& p, const CallSite& site, bool relu);
void run_onednn_fc(const Call& call);

/// The kernel for one type of X.
template <class Op>
KernelOf<FCParams> fc_onednn_kernel(const char* name, DType real) {
  KernelOf<FCParams> kernel{
      name, [](const FCParams& p, const CallSite& site) { return reject_onednn_fc(Op::signature.type, p, site); },
      [](const FCParams&, const Call& call) { onednn::translated([&] { run_onednn_fc(call); }); },
      [](const FCParams& p, const CallSite& site) {
        return onednn::translated([&] { return prepare_onednn_fc(Op::signature.type, p, site, Op::relu); });
      }};
  kernel.real = real;
  return kernel;
}

template <class Op>
Kernels<Op> fc_onednn_kernels() {
  return {fc_onednn_kernel<Op>("onednn_f32", DType::float32), fc_onednn_kernel<Op>("onednn_bf16", DType::bfloat16),
          fc_onednn_kernel<Op>("onednn_int8", DType::int8)};
}

}  // namespace d2deploy
