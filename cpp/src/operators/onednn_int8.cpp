#include "operators/onednn_int8.h"

#include <algorithm>

#include "core/element_type.h"

namespace d2deploy::onednn {

namespace {

bool has_vnni() {
  const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto has = [isa](dnnl::cpu_isa set) {
    return (isa & static_cast<unsigned>(set)) == static_cast<unsigned>(set);
  };
  return has(dnnl::cpu_isa::avx512_core_vnni) || has(dnnl::cpu_isa::avx2_vnni);
}

float scale_of(const TensorType& type) { return is_quantised(type) ? type.scale : 1.0F; }

}  // namespace

dnnl::primitive_attr attributes(const CallSite& site, int channels, int addend, bool relu) {
  if (!is_quantised(site.inputs[0])) return attributes(addend >= 0, relu);
  dnnl::post_ops post;
  if (addend >= 0) {
    const TensorType& a = site.inputs[static_cast<std::size_t>(addend)];
    post.append_sum(scale_of(a) / scale_of(site.outputs[0]), 0, data_type(a.dtype));
  }
  if (relu) post.append_eltwise(dnnl::algorithm::eltwise_relu, 0.0F, 0.0F);
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(post);
  attributes.set_scales_mask(DNNL_ARG_WEIGHTS, channels);
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

std::string refuse_int8(const CallSite& site) {
  if (!is_quantised(site.inputs[0]))
    return is_quantised(site.outputs[0]) ? "the output is quantised and X is not" : std::string();
  return has_vnni() ? std::string() : "the CPU has no VNNI";
}

Tensor sum_factors(const CallSite& site, const PackedWeights& weights) {
  if (!is_quantised(site.inputs[0])) return {};
  Tensor factors = Tensor::allocate(f32({static_cast<std::int64_t>(weights.scales.size())}));
  const float scale = site.inputs[0].scale / scale_of(site.outputs[0]);
  std::ranges::transform(weights.scales, factors.data<float>(), [scale](float w) { return scale * w; });
  return factors;
}

Tensor sum_bias(const CallSite& site, const Tensor& bias) {
  if (!is_quantised(site.outputs[0])) return bias;
  Tensor divided = Tensor::allocate(bias.type());
  for (std::int64_t i = 0; i < bias.size(); ++i)
    divided.data<float>()[i] = bias.data<float>()[i] / site.outputs[0].scale;
  return divided;
}

}  // namespace d2deploy::onednn
