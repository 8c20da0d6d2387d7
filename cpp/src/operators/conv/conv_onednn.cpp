#include "operators/conv/conv_onednn.h"

#include <algorithm>
#include <cstring>

#include "kernels/convert.h"

namespace d2deploy {

namespace {

using dnnl::memory;

// Regions of interest come in any number: whole runs of 16, then 4, then one by one.
constexpr std::initializer_list<std::int64_t> kRowSizes = {16, 4, 1};

memory::desc filters(const Shape& w, std::int64_t group, memory::data_type type, memory::format_tag tag) {
  if (group == 1) return {{w[0], w[1], w[2], w[3]}, type, tag};
  return {{group, w[0] / group, w[1], w[2], w[3]}, type, tag};
}

memory::desc plain_filters(const Shape& w, std::int64_t group) {
  return filters(w, group, memory::data_type::f32, group == 1 ? memory::format_tag::oihw : memory::format_tag::goihw);
}

// Of the dimensions above, those that output channels stand in.
int channel_bits(const ConvParams& p) { return p.group == 1 ? 1 : 3; }

memory::desc any_filters(const ConvParams& p, const CallSite& site) {
  return filters(site.inputs[1].shape, p.group, onednn::weights_type(site.inputs[0].dtype), memory::format_tag::any);
}

memory::desc bias_desc(const CallSite& site) {
  if (site.inputs.size() < 3) return {};
  return {{site.inputs[1].shape[0]}, memory::data_type::f32, memory::format_tag::x};
}

// Of quantised numbers one may have a sign and the other none. What is narrower than the sum is widened on its way
// there.
bool can_add(const TensorType& addend, const TensorType& sum) {
  return addend.dtype == sum.dtype || (is_quantised(addend) && is_quantised(sum)) ||
         (addend.dtype == DType::bfloat16 && sum.dtype == DType::float32);
}

// Throws dnnl::error where oneDNN cannot do it.
dnnl::convolution_forward::primitive_desc describe(const char* type, const ConvParams& p, const CallSite& site,
                                                   ConvTail tail, std::int64_t rows, const memory::desc& weights) {
  const Window at = resolve(type, p, site.inputs[0].shape[2], site.inputs[0].shape[3]);
  return {onednn::cpu(),
          dnnl::prop_kind::forward_inference,
          dnnl::algorithm::convolution_direct,
          onednn::describe(site.inputs[0], rows),
          weights,
          bias_desc(site),
          onednn::describe(site.outputs[0], rows),
          {at.stride_h, at.stride_w},
          {at.dilation_h - 1, at.dilation_w - 1},
          {at.pad_t, at.pad_l},
          {at.pad_b, at.pad_r},
          onednn::attributes(site, channel_bits(p), tail.add ? kConvAddend : -1, tail.relu)};
}

}  // namespace

void put_addend(const Call& call) {
  const Tensor& addend = call.input(kConvAddend);
  Tensor& y = call.output(0);
  if (addend.raw() == y.raw()) return;
  if (size_of(addend.dtype()) == size_of(y.dtype()))
    std::memcpy(y.raw(), addend.raw(), static_cast<std::size_t>(y.bytes()));
  else
    convert(addend, y);
}

std::string reject_onednn_conv(const char* type, const ConvParams& p, const CallSite& site, ConvTail tail) {
  if (!site.is_constant(1)) return "the weights are not constant";
  if (site.inputs.size() > 2 && !site.is_constant(2)) return "the bias is not constant";
  if (tail.add && !can_add(site.inputs[kConvAddend], site.outputs[0]))
    return "the addend has another type than the sum";
  if (!site.outputs[0].shape.known()) return "the size of the output is not known";
  if (site.outputs[0].shape.size() == 0) return "the output is empty";
  if (auto why = onednn::refuse_int8(site); !why.empty()) return why;
  try {
    return onednn::refuse_slow(
        describe(type, p, site, tail, site.bounded ? site.inputs[0].shape[0] : 1, any_filters(p, site))
            .impl_info_str());
  } catch (const dnnl::error& e) {
    return onednn::refusal(e);
  }
}

Prepared OnednnConv::prepare(const char* type, const ConvParams& p, const CallSite& site, ConvTail tail) {
  auto conv = std::make_shared<OnednnConv>();
  const std::string owner = join(onednn::owner("Conv/onednn", site.inputs[0].dtype), ", group ", p.group);
  const auto rows_of = onednn::ByRows<Sized>::sizes(site.inputs[0].shape[0], !site.bounded, kRowSizes);
  memory::desc wanted = onednn::weights_layout(
      site.constants[1]->packed_by(owner), any_filters(p, site),
      [&](const memory::desc& layout) { return describe(type, p, site, tail, rows_of.front(), layout); });
  Prepared prepared;
  for (const auto rows : rows_of) {
    const auto desc = describe(type, p, site, tail, rows, wanted);
    if (prepared.detail.empty()) prepared.detail = desc.impl_info_str();
    wanted = desc.weights_desc();  // all sizes share one packed form
    conv->convolutions_.add(
        rows, {dnnl::convolution_forward(desc), desc.src_desc(), desc.dst_desc(), desc.scratchpad_desc()});
    prepared.scratch_bytes = std::max(prepared.scratch_bytes, desc.scratchpad_desc().get_size());
  }
  conv->weights_ = onednn::packed(*site.constants[1], "filters", owner, plain_filters(site.inputs[1].shape, p.group),
                                  wanted, {0, channel_bits(p)});
  prepared.packed = {1};
  conv->factors_ = onednn::sum_factors(site, *conv->weights_);
  conv->factors_desc_ = onednn::describe_factors(site.inputs[1].shape[0]);
  if (site.inputs.size() > 2) conv->bias_ = onednn::sum_bias(site, site.constants[2]->plain());
  conv->bias_desc_ = bias_desc(site);
  prepared.state = conv;
  return prepared;
}

void OnednnConv::run(const Call& call) const {
  const Tensor &x = call.input(0), &y = call.output(0);
  convolutions_.for_each(x.dim(0), [&](const Sized& sized, std::int64_t first) {
    onednn::execute(sized.convolution, {{DNNL_ARG_WEIGHTS, weights_->desc, weights_->data.get()},
                                        {DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, factors_desc_, factors_.raw()},
                                        {DNNL_ARG_BIAS, bias_desc_, bias_.raw()},
                                        {DNNL_ARG_SRC, sized.x, onednn::row(x, first)},
                                        {DNNL_ARG_DST, sized.y, onednn::row(y, first)},
                                        {DNNL_ARG_SCRATCHPAD, sized.scratch, call.scratch}});
  });
}

}  // namespace d2deploy
