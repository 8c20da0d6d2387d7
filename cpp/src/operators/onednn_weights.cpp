#include "operators/onednn_weights.h"

#include "core/check.h"

namespace d2deploy::onednn {

std::string owner(const char* kernel, DType inputs) { return std::string(kernel) + ' ' + std::string(name(inputs)); }

SharedWeights packed(Constant& weights, const std::string& form, const std::string& owner,
                     const dnnl::memory::desc& wanted, const Packing& packing) {
  const auto make = [&](const Tensor& plain) -> Constant::Packed {
    const auto made = packing.pack(plain);
    return {made, wanted.get_size(), [made, unpack = packing.unpack] { return unpack(*made); },
            wanted.get_data_type() != dnnl::memory::data_type::f32};
  };
  return std::static_pointer_cast<const PackedWeights>(
      weights.packed(join("onednn ", form, ' ', key(wanted)), owner, make));
}

SharedWeights packed(Constant& weights, const std::string& form, const std::string& owner,
                     const dnnl::memory::desc& plain, const dnnl::memory::desc& wanted) {
  const TensorType type = weights.type();
  return packed(weights, form, owner, wanted,
                {[&](const Tensor& values) { return pack(plain, values.raw(), wanted); },
                 [plain, type](const PackedWeights& made) { return unpack(made, plain, type); }});
}

}  // namespace d2deploy::onednn
