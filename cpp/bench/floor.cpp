#include "floor.h"

#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "kernels/onednn.h"
#include "operators/conv/conv.h"
#include "operators/conv_transpose/conv_transpose.h"

namespace d2deploy {

namespace {

using dnnl::memory;

memory random_memory(const memory::desc& desc) {
  memory m(desc, onednn::cpu());
  auto* values = static_cast<float*>(m.get_data_handle());
  std::uint32_t state = 1;
  for (std::size_t i = 0; i < desc.get_size() / sizeof(float); ++i) {
    state = state * 1664525U + 1013904223U;  // Numerical Recipes' generator: speed matters here, quality does not
    values[i] = static_cast<float>(state >> 8) * 0x1p-24F - 0.5F;
  }
  return m;
}

dnnl::primitive_attr relu() {
  dnnl::post_ops post;
  post.append_eltwise(dnnl::algorithm::eltwise_relu, 0.0F, 0.0F);
  dnnl::primitive_attr attr;
  attr.set_post_ops(post);
  return attr;
}

template <class Primitive>
class Bare : public BareLayer {
 public:
  explicit Bare(const typename Primitive::primitive_desc& desc)
      : primitive_(desc),
        args_{{DNNL_ARG_SRC, random_memory(desc.src_desc())},
              {DNNL_ARG_WEIGHTS, random_memory(desc.weights_desc())},
              {DNNL_ARG_BIAS, random_memory(desc.query_md(dnnl::query::weights_md, 1))},
              {DNNL_ARG_DST, random_memory(desc.dst_desc())}} {}
  void run() override {
    primitive_.execute(stream_, args_);
    stream_.wait();
  }

 private:
  Primitive primitive_;
  std::unordered_map<int, memory> args_;
  dnnl::stream stream_{onednn::cpu()};
};

memory::desc nhwc(const Shape& s) {
  return {{s[0], s[1], s[2], s[3]}, memory::data_type::f32, memory::format_tag::nhwc};
}
memory::desc vector_of(std::int64_t n) { return {{n}, memory::data_type::f32, memory::format_tag::x}; }

std::unique_ptr<BareLayer> convolution(const ConvParams& p, const Shape& x, const Shape& w, const Shape& y) {
  const Window at = resolve("Conv", p, x[2], x[3]);
  const memory::dims dims =
      p.group == 1 ? memory::dims{w[0], w[1], w[2], w[3]} : memory::dims{p.group, w[0] / p.group, w[1], w[2], w[3]};
  return std::make_unique<Bare<dnnl::convolution_forward>>(dnnl::convolution_forward::primitive_desc(
      onednn::cpu(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, nhwc(x),
      {dims, memory::data_type::f32, memory::format_tag::any}, vector_of(w[0]), nhwc(y), {at.stride_h, at.stride_w},
      {at.dilation_h - 1, at.dilation_w - 1}, {at.pad_t, at.pad_l}, {at.pad_b, at.pad_r}, relu()));
}

std::unique_ptr<BareLayer> product(std::int64_t rows, std::int64_t inner, std::int64_t columns) {
  const auto plain = memory::format_tag::ab;
  return std::make_unique<Bare<dnnl::matmul>>(dnnl::matmul::primitive_desc(
      onednn::cpu(), {{rows, inner}, memory::data_type::f32, plain},
      {{inner, columns}, memory::data_type::f32, memory::format_tag::any},
      {{1, columns}, memory::data_type::f32, plain}, {{rows, columns}, memory::data_type::f32, plain}, relu()));
}

}  // namespace

std::vector<FloorLayer> floor_layers(const Plan& plan) {
  std::vector<FloorLayer> layers;
  for (const Step& step : plan.steps) {
    const auto shape = [&](std::size_t i) { return plan.values[step.inputs[i]].type.shape; };
    const Shape y = plan.values[step.outputs[0]].type.shape;
    std::unique_ptr<BareLayer> layer;
    if (step.op->type == "ConvTranspose" || step.op->type == "ConvTransposeRelu") {
      // As one product: exact where windows do not overlap, and fewer operations than any other way where they do.
      const Shape x = shape(0), w = shape(1);
      layer = product(x[0] * x[2] * x[3], x[1], w.size(1, 4));
    } else if (step.op->type.starts_with("Conv")) {
      if (step.op->type == "ConvRelu" || step.op->type == "Conv" || step.op->type == "ConvAdd" ||
          step.op->type == "ConvAddRelu")
        layer = convolution(*static_cast<const ConvParams*>(step.params.get()), shape(0), shape(1), y);
    } else if (step.op->type == "FC" || step.op->type == "FCRelu") {
      const Shape x = shape(0), w = shape(1);
      layer = product(x[0], x.size(1, x.rank()), w[0]);
    }
    if (layer) layers.push_back({step.op->type + " -> " + plan.values[step.outputs[0]].name, std::move(layer)});
  }
  return layers;
}

}  // namespace d2deploy
