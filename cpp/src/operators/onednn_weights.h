// Packed weights of the oneDNN kernels as forms of a constant. Part of the build with D2DEPLOY_ONEDNN only.
#pragma once
#include "kernels/onednn.h"
#include "operators/constant.h"

namespace d2deploy::onednn {

/// Who owns a packed form: `kernel` on inputs of that type.
std::string owner(const char* kernel, DType inputs);

using SharedWeights = std::shared_ptr<const PackedWeights>;

/// Where output channels stand: the dimension of the constant, and the bits of those of `plain`.
struct Channels {
  std::size_t axis;
  int bits;
};

/// The weights of a float32 constant as `wanted`, which may be of a smaller type: made once, shared by all plans.
/// `form` says how they are read: `plain`.
SharedWeights packed(Constant& weights, const std::string& form, const std::string& owner,
                     const dnnl::memory::desc& plain, const dnnl::memory::desc& wanted, Channels channels);

/// How weights are packed that need more than one reorder.
struct Packing {
  std::function<std::shared_ptr<PackedWeights>(const Tensor& plain)> pack;
  std::function<Tensor(const PackedWeights&)> unpack;
  std::int64_t scales = -1;  ///< how many there are, in packed ones that can be kept outside of memory; -1: they cannot
  int channels = 0;          ///< PackedWeights::channels of those that have scales
};
SharedWeights packed(Constant& weights, const std::string& form, const std::string& owner,
                     const dnnl::memory::desc& wanted, const Packing& packing);

}  // namespace d2deploy::onednn
