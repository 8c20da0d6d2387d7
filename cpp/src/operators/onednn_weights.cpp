#include "operators/onednn_weights.h"

#include "core/check.h"
#include "kernels/quantise.h"

namespace d2deploy::onednn {

std::string owner(const char* kernel, DType inputs) { return std::string(kernel) + ' ' + std::string(name(inputs)); }

SharedWeights packed(Constant& weights, const std::string& form, const std::string& owner,
                     const dnnl::memory::desc& wanted, const Packing& packing) {
  const auto make = [&](const Tensor& plain) -> Constant::Packed {
    const auto made = packing.pack(plain);
    return {made, wanted.get_size(), [made, unpack = packing.unpack] { return unpack(*made); },
            wanted.get_data_type() != dnnl::memory::data_type::f32};
  };
  // Quantised ones hold more than their layout says, which depends on what they meet.
  const bool quantised = wanted.get_data_type() == dnnl::memory::data_type::s8;
  return std::static_pointer_cast<const PackedWeights>(
      weights.packed(join("onednn ", quantised ? owner : form, ' ', key(wanted)), owner, make));
}

SharedWeights packed(Constant& weights, const std::string& form, const std::string& owner,
                     const dnnl::memory::desc& plain, const dnnl::memory::desc& wanted, Channels channels) {
  const TensorType type = weights.type();
  const bool quantised = wanted.get_data_type() == dnnl::memory::data_type::s8;
  return packed(weights, form, owner, wanted,
                {[&](const Tensor& values) {
                   return quantised
                              ? pack(plain, values.raw(), wanted, weight_scales(values, channels.axis), channels.bits)
                              : pack(plain, values.raw(), wanted);
                 },
                 [plain, type](const PackedWeights& made) { return unpack(made, plain, type); }});
}

}  // namespace d2deploy::onednn
