#include "operators/conv_transpose/conv_transpose_onednn.h"

#include <algorithm>
#include <cstring>

#include "core/memory.h"
#include "core/threads.h"
#include "kernels/scale_shift.h"

namespace d2deploy {

namespace transposed {

namespace {

using dnnl::memory;

constexpr std::initializer_list<std::int64_t> kRowSizes = {4, 1};

constexpr int kColumns = 2;  // bits of the dimensions of a matrix of weights that output channels stand in

TransposedWindow window(const ConvTransposeParams& p, const CallSite& site) {
  return ConvTranspose::window("ConvTranspose", p, {site.inputs, {}});
}

std::string reject(const CallSite& site) {
  if (!site.is_constant(1)) return "the weights are not constant";
  if (site.inputs.size() > 2 && !site.is_constant(2)) return "the bias is not constant";
  if (!site.outputs[0].shape.known() || site.outputs[0].shape.size() == 0)
    return "the output is empty or of unknown size";
  return onednn::refuse_int8(site);
}

}  // namespace

// Where stride equals kernel, every output cell comes from one input cell: Y is X, as a matrix of pixels by channels,
// times the filters as (C, kh * kw * M), its rows then put in their places.

struct Product {
  struct Sized {
    dnnl::matmul matmul;
    memory::desc x, y, scratch;
    std::int64_t rows;
  };
  onednn::ByRows<Sized> products;
  onednn::SharedWeights weights;
  Tensor bias, factors;  // both repeated for every cell of the window
  memory::desc bias_desc, factors_desc;
  std::int64_t kernel_h = 0, kernel_w = 0;
  std::size_t product_bytes = 0;  // the scratch of oneDNN starts behind the product
};

std::string reject_product(const ConvTransposeParams& p, const CallSite& site) {
  if (auto why = reject(site); !why.empty()) return why;
  const TransposedWindow at = window(p, site);
  if (at.kernel_h != at.stride_h || at.kernel_w != at.stride_w) return "windows overlap or leave gaps";
  if (at.pad_t || at.pad_l || at.pad_b || at.pad_r || at.adj_h || at.adj_w) return "there are pads or adjs";
  if (p.group != 1) return "there are several groups";
  if (site.inputs[0].layout != Layout::channels_last) return "X is not channels-last";
  return onednn::refuse_product_of(site.inputs[0].dtype);
}

Prepared prepare_product(const ConvTransposeParams& p, const CallSite& site, bool relu) {
  auto product = std::make_shared<Product>();
  const TransposedWindow at = window(p, site);
  const Shape &x = site.inputs[0].shape, &w = site.inputs[1].shape;
  const std::int64_t channels = w[0], filters = w[1], cells = at.kernel_h * at.kernel_w, columns = cells * filters;
  product->kernel_h = at.kernel_h;
  product->kernel_w = at.kernel_w;
  if (site.inputs.size() > 2) {
    const Tensor once = onednn::sum_bias(site, site.constants[2]->plain());
    product->bias = Tensor::allocate(f32({columns}));
    for (std::int64_t i = 0; i < columns; ++i) product->bias.data<float>()[i] = once.data<float>()[i % filters];
    product->bias_desc = {{1, columns}, memory::data_type::f32, memory::format_tag::ab};
  }
  const DType type_of_x = site.inputs[0].dtype;
  const auto weights_type = onednn::weights_type(type_of_x);
  const auto pixels = [&](std::int64_t rows, std::int64_t depth, DType dtype) {
    return memory::desc{{rows * x[2] * x[3], depth}, onednn::data_type(dtype), memory::format_tag::ab};
  };
  const auto describe = [&](std::int64_t rows, const memory::desc& layout) {
    return dnnl::matmul::primitive_desc(onednn::cpu(), pixels(rows, channels, type_of_x), layout, product->bias_desc,
                                        pixels(rows, columns, site.outputs[0].dtype),
                                        onednn::attributes(site, kColumns, -1, relu));
  };
  const std::string owner = onednn::owner("ConvTranspose/onednn_product", type_of_x);
  // One region for each thread: its product stays in the cache of a core until it is put in its places.
  // Single-threaded, four at once took 1.13 times as long.
  auto sizes = onednn::ByRows<Product::Sized>::sizes(x[0], !site.bounded, {site.context.threads, 1});
  if (sizes.size() > 1 && sizes[0] == sizes[1]) sizes.pop_back();
  memory::desc wanted = onednn::weights_layout(
      site.constants[1]->packed_by(owner), memory::desc{{channels, columns}, weights_type, memory::format_tag::any},
      [&](const memory::desc& layout) { return describe(sizes.front(), layout); });
  Prepared prepared;
  std::size_t scratch = 0;
  for (const auto rows : sizes) {
    const auto desc = describe(rows, wanted);
    const memory::desc from = desc.src_desc(), to = desc.dst_desc();
    if (prepared.detail.empty()) prepared.detail = desc.impl_info_str();
    wanted = desc.weights_desc();
    product->products.add(rows, {dnnl::matmul(desc), from, to, desc.scratchpad_desc(), rows});
    product->product_bytes = std::max(product->product_bytes, align_up(to.get_size()));
    scratch = std::max(scratch, desc.scratchpad_desc().get_size());
  }
  prepared.scratch_bytes = product->product_bytes + scratch;
  // (C, M, kh * kw) read as (C, kh * kw, M)
  const memory::desc plain{{channels, cells, filters}, memory::data_type::f32, memory::dims{filters * cells, 1, cells}};
  const memory::desc cells_first{{channels, cells, filters}, memory::data_type::f32, memory::format_tag::abc};
  const memory::desc matrix{{channels, columns}, memory::data_type::f32, memory::format_tag::ab};
  const TensorType type_of_w = site.inputs[1];
  const auto pack = [&](const Tensor& values) {
    const auto ordered = onednn::pack(plain, values.raw(), cells_first);
    if (wanted.get_data_type() != memory::data_type::s8) return onednn::pack(matrix, ordered->data.get(), wanted);
    const auto once = weight_scales(values, 1);
    std::vector<float> scales(static_cast<std::size_t>(columns));
    for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = once[i % once.size()];
    return onednn::pack(matrix, ordered->data.get(), wanted, std::move(scales), kColumns);
  };
  const auto unpack = [=](const onednn::PackedWeights& packed) {
    const Tensor in_order = onednn::unpack(packed, matrix, type_of_w);
    return onednn::unpack(
        {std::const_pointer_cast<void>(std::shared_ptr<const void>(in_order.raw(), [in_order](const void*) {})),
         cells_first},
        plain, type_of_w);
  };
  product->weights = onednn::packed(*site.constants[1], "product", owner, wanted, {pack, unpack});
  product->factors = onednn::sum_factors(site, *product->weights);
  product->factors_desc = onednn::describe_factors(columns);
  prepared.packed = {1};
  prepared.state = product;
  return prepared;
}

void run_product(const Call& call) {
  const auto& product = *static_cast<const Product*>(call.state);
  const Tensor &x = call.input(0), &y = call.output(0);
  auto* result = static_cast<std::byte*>(call.scratch);
  const auto* scratch = result + product.product_bytes;
  const std::int64_t height = x.dim(2), width = x.dim(3), kh = product.kernel_h;
  // What stays together: the cells of one window row.
  const std::size_t run = static_cast<std::size_t>(product.kernel_w * y.dim(1)) * size_of(y.dtype());
  product.products.for_each(x.dim(0), [&](const Product::Sized& sized, std::int64_t first) {
    onednn::execute(sized.matmul,
                    {{DNNL_ARG_WEIGHTS, product.weights->desc, product.weights->data.get()},
                     {DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, product.factors_desc, product.factors.raw()},
                     {DNNL_ARG_BIAS, product.bias_desc, product.bias.raw()},
                     {DNNL_ARG_SRC, sized.x, onednn::row(x, first)},
                     {DNNL_ARG_DST, sized.y, result},
                     {DNNL_ARG_SCRATCHPAD, sized.scratch, scratch}});
    auto* out = static_cast<std::byte*>(onednn::row(y, first));
    parallel_for(sized.rows * height, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row)  // image and input row
        for (std::int64_t i = 0; i < kh; ++i)
          for (std::int64_t ix = 0; ix < width; ++ix)
            std::memcpy(out + static_cast<std::size_t>((row * kh + i) * width + ix) * run,
                        result + static_cast<std::size_t>((row * width + ix) * kh + i) * run, run);
    });
  });
}

// Any window.

struct Deconvolution {
  struct Sized {
    dnnl::deconvolution_forward deconvolution;
    memory::desc x, y, scratch;
    std::int64_t rows;
  };
  onednn::ByRows<Sized> deconvolutions;
  onednn::SharedWeights weights;
  Tensor bias;
  memory::desc bias_desc;
  bool finish_apart = false, relu = false;  // bias and ReLU in a loop of their own, from sums in float32
  std::size_t sum_bytes = 0;                // where these are not the output itself; oneDNN's scratch starts behind
  std::vector<float> ones, zeros;           // for that loop, per channel
};

namespace {

// Ours are (C, M / group, kh, kw); oneDNN's dimensions are (group, M / group, C / group, kh, kw).
memory::desc plain_filters(const ConvTransposeParams& p, const Shape& w) {
  const std::int64_t in_group = w[0] / p.group, cells = w[2] * w[3];
  if (p.group == 1)
    return {{w[1], w[0], w[2], w[3]}, memory::data_type::f32, memory::dims{cells, w[1] * cells, w[3], 1}};
  return {{p.group, w[1], in_group, w[2], w[3]},
          memory::data_type::f32,
          memory::dims{in_group * w[1] * cells, cells, w[1] * cells, w[3], 1}};
}

memory::desc any_filters(const ConvTransposeParams& p, const CallSite& site) {
  return {plain_filters(p, site.inputs[1].shape).get_dims(), onednn::weights_type(site.inputs[0].dtype),
          memory::format_tag::any};
}

// What follows the sum over the filters. `apart`: not in oneDNN's primitive, but in a loop of its own.
struct Finish {
  bool bias, relu, apart = false;
};

// Throws dnnl::error where oneDNN cannot do it.
dnnl::deconvolution_forward::primitive_desc describe(const ConvTransposeParams& p, const CallSite& site,
                                                     const Finish& finish, std::int64_t rows,
                                                     const memory::desc& weights) {
  const TransposedWindow at = window(p, site);
  const memory::desc bias = finish.bias && !finish.apart ? onednn::describe(site.inputs[2]) : memory::desc();
  TensorType y = site.outputs[0];
  if (finish.apart) y.dtype = DType::float32;
  return {onednn::cpu(),
          dnnl::prop_kind::forward_inference,
          dnnl::algorithm::deconvolution_direct,
          onednn::describe(site.inputs[0], rows),
          weights,
          bias,
          onednn::describe(y, rows),
          {at.stride_h, at.stride_w},
          {at.pad_t, at.pad_l},
          {at.pad_b - at.adj_h, at.pad_r - at.adj_w},
          onednn::attributes(false, finish.relu && !finish.apart)};
}

Finish finish_of(const ConvTransposeParams& p, const CallSite& site, bool relu,
                 const std::vector<std::int64_t>& sizes) {
  Finish finish{site.inputs.size() > 2, relu};
  // oneDNN 3.2's strided kernels add the bias again for every block of input channels.
  const auto faulty = [&](std::int64_t rows) {
    const auto desc = describe(p, site, finish, rows, any_filters(p, site));
    return std::string_view(desc.impl_info_str()).find("brgconv_strided") != std::string_view::npos;
  };
  finish.apart = std::ranges::any_of(sizes, faulty);
  return finish;
}

}  // namespace

std::string reject_deconvolution(const ConvTransposeParams& p, const CallSite& site) {
  if (auto why = reject(site); !why.empty()) return why;
  try {
    const std::int64_t rows = site.bounded ? site.inputs[0].shape[0] : 1;
    const Finish finish = finish_of(p, site, true, {rows});
    return onednn::refuse_slow(describe(p, site, finish, rows, any_filters(p, site)).impl_info_str());
  } catch (const dnnl::error& e) {
    return onednn::refusal(e);
  }
}

Prepared prepare_deconvolution(const ConvTransposeParams& p, const CallSite& site, bool relu) {
  auto state = std::make_shared<Deconvolution>();
  const memory::desc plain = plain_filters(p, site.inputs[1].shape);
  const std::string owner = join(onednn::owner("ConvTranspose/onednn", site.inputs[0].dtype), ", group ", p.group);
  const auto sizes = onednn::ByRows<Deconvolution::Sized>::sizes(site.inputs[0].shape[0], !site.bounded, kRowSizes);
  const Finish finish = finish_of(p, site, relu, sizes);
  memory::desc wanted = onednn::weights_layout(
      site.constants[1]->packed_by(owner), any_filters(p, site),
      [&](const memory::desc& layout) { return describe(p, site, finish, sizes.front(), layout); });
  if (finish.bias) {
    state->bias = site.constants[2]->plain();
    state->bias_desc = onednn::describe(state->bias.type());
  }
  if (finish.apart) {
    state->finish_apart = true;
    state->relu = relu;
    state->ones.assign(static_cast<std::size_t>(site.outputs[0].shape[1]), 1.0F);
    state->zeros.assign(state->ones.size(), 0.0F);
  }
  Prepared prepared;
  for (const auto rows : sizes) {
    const auto desc = describe(p, site, finish, rows, wanted);
    if (prepared.detail.empty()) prepared.detail = desc.impl_info_str();
    wanted = desc.weights_desc();
    state->deconvolutions.add(
        rows, {dnnl::deconvolution_forward(desc), desc.src_desc(), desc.dst_desc(), desc.scratchpad_desc(), rows});
    prepared.scratch_bytes = std::max(prepared.scratch_bytes, desc.scratchpad_desc().get_size());
    if (finish.apart && site.outputs[0].dtype != DType::float32)
      state->sum_bytes = std::max(state->sum_bytes, align_up(desc.dst_desc().get_size()));
  }
  prepared.scratch_bytes += state->sum_bytes;
  state->weights = onednn::packed(*site.constants[1], "transposed", owner, plain, wanted, {1, 1});
  prepared.packed = {1};
  prepared.state = state;
  return prepared;
}

void run_deconvolution(const Call& call) {
  const auto& state = *static_cast<const Deconvolution*>(call.state);
  const Tensor &x = call.input(0), &y = call.output(0);
  const bool bias = state.bias.raw() && !state.finish_apart;
  auto* const scratch = static_cast<std::byte*>(call.scratch);
  state.deconvolutions.for_each(x.dim(0), [&](const Deconvolution::Sized& sized, std::int64_t first) {
    void* const sums = state.sum_bytes > 0 ? scratch : onednn::row(y, first);
    onednn::execute(sized.deconvolution, {{DNNL_ARG_WEIGHTS, state.weights->desc, state.weights->data.get()},
                                          {DNNL_ARG_BIAS, state.bias_desc, bias ? state.bias.raw() : nullptr},
                                          {DNNL_ARG_SRC, sized.x, onednn::row(x, first)},
                                          {DNNL_ARG_DST, sized.y, sums},
                                          {DNNL_ARG_SCRATCHPAD, sized.scratch, scratch + state.sum_bytes}});
    if (state.sum_bytes == 0 && (!state.finish_apart || (!state.bias.raw() && !state.relu))) return;
    Maps maps = Maps::of(y.type());
    maps.images = sized.rows;
    const float* shift = state.bias.raw() ? state.bias.data<float>() : state.zeros.data();
    const ScaleShift by{state.ones.data(), shift, 0, state.relu};
    const auto* from = static_cast<const float*>(sums);
    if (y.dtype() == DType::float32)
      scale_shift(maps, by, from, static_cast<float*>(onednn::row(y, first)));
    else
      scale_shift(maps, by, from, static_cast<BFloat16*>(onednn::row(y, first)));
  });
}

}  // namespace transposed

}  // namespace d2deploy
