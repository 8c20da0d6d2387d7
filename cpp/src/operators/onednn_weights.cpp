#include "operators/onednn_weights.h"

#include "core/check.h"
#include "kernels/quantise.h"

namespace d2deploy::onednn {

std::string owner(const char* kernel, DType inputs) { return std::string(kernel) + ' ' + std::string(name(inputs)); }

namespace {

bool is_quantised(const dnnl::memory::desc& desc) { return desc.get_data_type() == dnnl::memory::data_type::s8; }

// Which oneDNN it is, and for which CPU: of quantised weights, layouts that are called alike hold different sums.
std::string build() {
  const dnnl_version_t* v = dnnl_version();
  return join(v->major, '.', v->minor, '.', v->patch, ' ', v->hash, " isa ",
              static_cast<int>(dnnl::get_effective_cpu_isa()));
}

std::span<const std::byte> bytes_of(const void* data, std::size_t bytes) {
  return {static_cast<const std::byte*>(data), bytes};
}

}  // namespace

SharedWeights packed(Constant& weights, const std::string& form, const std::string& owner,
                     const dnnl::memory::desc& wanted, const Packing& packing) {
  const auto form_of = [&](std::shared_ptr<PackedWeights> made) -> Constant::Packed {
    const std::size_t bytes = wanted.get_size();
    Constant::Packed packed{made, bytes, [made, unpack = packing.unpack] { return unpack(*made); },
                            wanted.get_data_type() != dnnl::memory::data_type::f32};
    packed.parts = {bytes_of(made->data.get(), bytes)};
    if (!made->scales.empty()) packed.parts.push_back(std::as_bytes(std::span(made->scales)));
    return packed;
  };
  const auto make = [&](const Tensor& plain) { return form_of(packing.pack(plain)); };
  Constant::Restore restore;
  if (packing.scales >= 0) {
    restore.sizes = {wanted.get_size()};
    if (packing.scales > 0) restore.sizes.push_back(static_cast<std::size_t>(packing.scales) * sizeof(float));
    restore.make = [&](std::vector<ConstantStore::Memory> parts) {
      auto made = std::make_shared<PackedWeights>(PackedWeights{std::move(parts[0]), wanted});
      if (packing.scales > 0) {
        const auto* scales = static_cast<const float*>(parts[1].get());
        made->scales.assign(scales, scales + packing.scales);
        made->channels = packing.channels;
      }
      return form_of(std::move(made));
    };
  }
  // Quantised ones hold more than their layout says, which depends on what they meet.
  const std::string name = join("onednn ", is_quantised(wanted) ? owner : form, ' ', key(wanted), ' ', build());
  return std::static_pointer_cast<const PackedWeights>(weights.packed(name, owner, make, restore));
}

SharedWeights packed(Constant& weights, const std::string& form, const std::string& owner,
                     const dnnl::memory::desc& plain, const dnnl::memory::desc& wanted, Channels channels) {
  const TensorType type = weights.type();
  const bool quantised = is_quantised(wanted);
  Packing packing{[&](const Tensor& values) {
                    return quantised
                               ? pack(plain, values.raw(), wanted, weight_scales(values, channels.axis), channels.bits)
                               : pack(plain, values.raw(), wanted);
                  },
                  [plain, type](const PackedWeights& made) { return unpack(made, plain, type); }};
  packing.scales = quantised ? type.shape[channels.axis] : 0;
  packing.channels = channels.bits;
  return packed(weights, form, owner, wanted, packing);
}

}  // namespace d2deploy::onednn
