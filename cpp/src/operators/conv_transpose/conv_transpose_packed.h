// The kernel by packed products of ConvTranspose and of what is fused with it: where there is no oneDNN, or no
// AVX-512.
#pragma once
#include "kernels/packed.h"
#include "operators/conv_transpose/conv_transpose.h"

namespace d2deploy {

std::string reject_packed_transpose(const ConvTransposeParams& p, const CallSite& site);
Prepared prepare_packed_transpose(const ConvTransposeParams& p, const CallSite& site);
void run_packed_transpose(const Call& call, bool relu);

template <class Op>
Kernels<Op> conv_transpose_packed_kernels() {
  return {{"packed_f32", reject_packed_transpose,
           [](const ConvTransposeParams&, const Call& call) { run_packed_transpose(call, Op::relu); },
           prepare_packed_transpose,
           [](const ConvTransposeParams&, const CallSite&) { return rank_of_packed_rows(); }}};
}

}  // namespace d2deploy
