// The oneDNN kernels of ConvTranspose and of what is fused with it: one matrix product where windows do not overlap,
// deconvolution otherwise.
#pragma once
#include "kernels/quantise.h"
#include "operators/conv_transpose/conv_transpose.h"
#include "operators/onednn_int8.h"

namespace d2deploy {

namespace transposed {

std::string reject_product(const ConvTransposeParams& p, const CallSite& site);
Prepared prepare_product(const ConvTransposeParams& p, const CallSite& site, bool relu);
void run_product(const Call& call);

std::string reject_deconvolution(const ConvTransposeParams& p, const CallSite& site);
Prepared prepare_deconvolution(const ConvTransposeParams& p, const CallSite& site, bool relu);
void run_deconvolution(const Call& call);

}  // namespace transposed

/// The kernels for one type of X.
template <class Op>
KernelOf<ConvTransposeParams> conv_transpose_onednn_product(const char* name, DType real) {
  KernelOf<ConvTransposeParams> kernel{
      name, transposed::reject_product,
      [](const ConvTransposeParams&, const Call& call) { transposed::run_product(call); },
      [](const ConvTransposeParams& p, const CallSite& site) {
        return onednn::translated([&] { return transposed::prepare_product(p, site, Op::relu); });
      }};
  kernel.real = real;
  return kernel;
}
template <class Op>
KernelOf<ConvTransposeParams> conv_transpose_onednn(const char* name, DType real) {
  KernelOf<ConvTransposeParams> kernel{
      name, transposed::reject_deconvolution,
      [](const ConvTransposeParams&, const Call& call) { transposed::run_deconvolution(call); },
      [](const ConvTransposeParams& p, const CallSite& site) {
        return onednn::translated([&] { return transposed::prepare_deconvolution(p, site, Op::relu); });
      }};
  kernel.real = real;
  return kernel;
}

template <class Op>
Kernels<Op> conv_transpose_onednn_kernels() {
  return {conv_transpose_onednn_product<Op>("onednn_product_f32", DType::float32),
          conv_transpose_onednn<Op>("onednn_f32", DType::float32),
          conv_transpose_onednn_product<Op>("onednn_product_bf16", DType::bfloat16),
          conv_transpose_onednn<Op>("onednn_bf16", DType::bfloat16),
          conv_transpose_onednn_product<Op>("onednn_product_int8", DType::int8)};
}

}  // namespace d2deploy
