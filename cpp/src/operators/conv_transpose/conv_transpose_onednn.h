// The oneDNN kernels of ConvTranspose and of what is fused with it: one matrix product where windows do not overlap,
// deconvolution otherwise.
#pragma once
#include "kernels/onednn.h"
#include "operators/conv_transpose/conv_transpose.h"

namespace d2deploy {

namespace transposed {

std::string reject_product(const ConvTransposeParams& p, const CallSite& site);
Prepared prepare_product(const ConvTransposeParams& p, const CallSite& site, bool relu);
void run_product(const Call& call);

std::string reject_deconvolution(const ConvTransposeParams& p, const CallSite& site);
Prepared prepare_deconvolution(const ConvTransposeParams& p, const CallSite& site, bool relu);
void run_deconvolution(const Call& call);

}  // namespace transposed

template <class Op>
Kernels<Op> conv_transpose_onednn_kernels() {
  using Params = ConvTransposeParams;
  return {{"onednn_product_f32", transposed::reject_product,
           [](const Params&, const Call& call) { transposed::run_product(call); },
           [](const Params& p, const CallSite& site) {
             return onednn::translated([&] { return transposed::prepare_product(p, site, Op::relu); });
           }},
          {"onednn_f32", transposed::reject_deconvolution,
           [](const Params&, const Call& call) { transposed::run_deconvolution(call); },
           [](const Params& p, const CallSite& site) {
             return onednn::translated([&] { return transposed::prepare_deconvolution(p, site, Op::relu); });
           }}};
}

}  // namespace d2deploy
