#include "floor.h"

#include <algorithm>
#include <oneapi/dnnl/dnnl.hpp>
#include <type_traits>
#include <unordered_map>

#include "kernels/onednn.h"
#include "operators/conv/conv.h"
#include "operators/conv_transpose/conv_transpose.h"

namespace d2deploy {

namespace {

using dnnl::memory;

// Numbers in [-1/2, 1/2), and whole ones as large as those of a calibrated net.
memory random_memory(const memory::desc& desc) {
  memory m(desc, onednn::cpu());
  std::uint32_t state = 1;
  const auto fill = [&]<class T>(T, float scale) {
    auto* values = static_cast<T*>(m.get_data_handle());
    for (std::size_t i = 0; i < desc.get_size() / sizeof(T); ++i) {
      state = state * 1664525U + 1013904223U;  // Numerical Recipes' generator: speed matters here, quality does not
      values[i] =
          static_cast<T>((static_cast<float>(state >> 8) * 0x1p-24F - (std::is_unsigned_v<T> ? 0.0F : 0.5F)) * scale);
    }
  };
  switch (desc.get_data_type()) {
    case memory::data_type::bf16: fill(BFloat16(), 1); break;
    case memory::data_type::u8: fill(std::uint8_t(), 255); break;
    case memory::data_type::s8: fill(std::int8_t(), 254); break;
    default: fill(float(), 1);
  }
  return m;
}

// What follows the sum: a ReLU and, where numbers are whole, a factor per output channel and one for all.
struct Finish {
  dnnl::primitive_attr attributes;
  std::unordered_map<int, memory> arguments;

  // `mask`: the dimensions of the weights that are output channels.
  Finish(DType type, int mask, std::int64_t channels) {
    dnnl::post_ops post;
    post.append_eltwise(dnnl::algorithm::eltwise_relu, 0.0F, 0.0F);
    attributes.set_post_ops(post);
    if (type != DType::uint8) return;
    const auto scale = [&](int argument, int dimensions, std::int64_t count, float value) {
      attributes.set_scales_mask(argument, dimensions);
      memory m({{count}, memory::data_type::f32, memory::format_tag::x}, onednn::cpu());
      std::fill_n(static_cast<float*>(m.get_data_handle()), count, value);
      arguments.emplace(DNNL_ARG_ATTR_SCALES | argument, m);
    };
    scale(DNNL_ARG_WEIGHTS, mask, channels, 0x1p-7F);
    scale(DNNL_ARG_DST, 0, 1, 0.5F);
  }
};

template <class Primitive>
class Bare : public BareLayer {
 public:
  Bare(const typename Primitive::primitive_desc& desc, const Finish& finish)
      : primitive_(desc), args_(finish.arguments) {
    args_.emplace(DNNL_ARG_SRC, random_memory(desc.src_desc()));
    args_.emplace(DNNL_ARG_WEIGHTS, random_memory(desc.weights_desc()));
    args_.emplace(DNNL_ARG_BIAS, random_memory(desc.query_md(dnnl::query::weights_md, 1)));
    args_.emplace(DNNL_ARG_DST, random_memory(desc.dst_desc()));
  }
  void run() override {
    primitive_.execute(stream_, args_);
    stream_.wait();
  }

 private:
  Primitive primitive_;
  std::unordered_map<int, memory> args_;
  dnnl::stream stream_{onednn::cpu()};
};

memory::desc nhwc(const Shape& s, DType type) {
  return {{s[0], s[1], s[2], s[3]}, onednn::data_type(type), memory::format_tag::nhwc};
}

std::unique_ptr<BareLayer> convolution(const ConvParams& p, const Shape& x, const Shape& w, const Shape& y,
                                       DType type) {
  const Window at = resolve("Conv", p, x[2], x[3]);
  const memory::dims dims =
      p.group == 1 ? memory::dims{w[0], w[1], w[2], w[3]} : memory::dims{p.group, w[0] / p.group, w[1], w[2], w[3]};
  const Finish finish(type, p.group == 1 ? 1 : 3, w[0]);
  const dnnl::convolution_forward::primitive_desc desc(
      onednn::cpu(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, nhwc(x, type),
      {dims, onednn::weights_type(type), memory::format_tag::any},
      {{w[0]}, memory::data_type::f32, memory::format_tag::x}, nhwc(y, type), {at.stride_h, at.stride_w},
      {at.dilation_h - 1, at.dilation_w - 1}, {at.pad_t, at.pad_l}, {at.pad_b, at.pad_r}, finish.attributes);
  return std::make_unique<Bare<dnnl::convolution_forward>>(desc, finish);
}

std::unique_ptr<BareLayer> product(std::int64_t rows, std::int64_t inner, std::int64_t columns, DType type) {
  const auto plain = memory::format_tag::ab;
  const Finish finish(type, 2, columns);
  const dnnl::matmul::primitive_desc desc(onednn::cpu(), {{rows, inner}, onednn::data_type(type), plain},
                                          {{inner, columns}, onednn::weights_type(type), memory::format_tag::any},
                                          {{1, columns}, memory::data_type::f32, plain},
                                          {{rows, columns}, onednn::data_type(type), plain}, finish.attributes);
  return std::make_unique<Bare<dnnl::matmul>>(desc, finish);
}

}  // namespace

std::vector<FloorLayer> floor_layers(const Plan& plan, DType type) {
  std::vector<FloorLayer> layers;
  for (const Step& step : plan.steps) {
    const auto shape = [&](std::size_t i) { return plan.values[step.inputs[i]].type.shape; };
    const Shape y = plan.values[step.outputs[0]].type.shape;
    std::unique_ptr<BareLayer> layer;
    if (step.op->type == "ConvTranspose" || step.op->type == "ConvTransposeRelu") {
      // As one product: exact where windows do not overlap, and fewer operations than any other way where they do.
      const Shape x = shape(0), w = shape(1);
      layer = product(x[0] * x[2] * x[3], x[1], w.size(1, 4), type);
    } else if (step.op->type.starts_with("Conv")) {
      if (step.op->type == "ConvRelu" || step.op->type == "Conv" || step.op->type == "ConvAdd" ||
          step.op->type == "ConvAddRelu")
        layer = convolution(*static_cast<const ConvParams*>(step.params.get()), shape(0), shape(1), y, type);
    } else if (step.op->type == "FC" || step.op->type == "FCRelu") {
      const Shape x = shape(0), w = shape(1);
      layer = product(x[0], x.size(1, x.rank()), w[0], type);
    }
    if (layer) layers.push_back({step.op->type + " -> " + plan.values[step.outputs[0]].name, std::move(layer)});
  }
  return layers;
}

}  // namespace d2deploy
