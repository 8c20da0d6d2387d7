// What the oneDNN kernels need more where inputs are quantised. Sums are whole numbers of 32 bits; what they stand for
// is folded into one factor per output channel: the scales of X and of the weights, by that of Y. Bias and addend are
// divided by Y's. Part of the build with D2DEPLOY_ONEDNN only.
#pragma once
#include <string>

#include "operators/onednn_weights.h"
#include "operators/operator.h"

namespace d2deploy::onednn {

/// The attributes of a primitive for this call, quantised or not. `channels`: bits of the dimensions of the weights, as
/// the primitive sees them, that output channels stand in. `addend`: the input that is added; -1: none.
dnnl::primitive_attr attributes(const CallSite& site, int channels, int addend, bool relu);

/// Why quantised inputs cannot be taken; empty: they can, or there are none. Without VNNI, sums of pairs of products
/// would not fit into their 16 bits.
std::string refuse_int8(const CallSite& site);

/// The factors of the sums, one per scale of the packed weights; a tensor without memory where X is not quantised.
Tensor sum_factors(const CallSite& site, const PackedWeights& weights);
inline dnnl::memory::desc describe_factors(std::int64_t channels) {
  return {{channels}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::x};
}
/// The bias that is added to such sums: as it is, or by the scale of Y.
Tensor sum_bias(const CallSite& site, const Tensor& bias);

}  // namespace d2deploy::onednn
