#include "operators/fc/fc_onednn.h"

#include <algorithm>

#include "core/element_type.h"
#include "operators/onednn_int8.h"

namespace d2deploy {

namespace {

using dnnl::memory;

// Every step down reads the weights again, so the steps are large; one row at a time ends the list.
constexpr std::initializer_list<std::int64_t> kRowSizes = {1024, 256, 64, 16, 4, 1};

constexpr int kColumns = 2;  // bits of the dimensions of a matrix of weights that output channels stand in

struct State {
  struct Sized {
    dnnl::matmul matmul;
    memory::desc x, y, scratch;
  };
  onednn::ByRows<Sized> products;
  onednn::SharedWeights weights;
  memory::desc bias_desc, factors_desc;
  Tensor bias, factors;
  FCSizes sizes{};
};

memory::desc matrix(std::int64_t rows, std::int64_t columns, memory::data_type type,
                    memory::format_tag tag = memory::format_tag::ab) {
  return {{rows, columns}, type, tag};
}

// Sizes for any number of rows up to the most, which itself comes first: it is the usual one.
std::vector<std::int64_t> row_sizes(std::int64_t rows, bool exact) {
  if (exact) return {rows};
  auto sizes = onednn::ByRows<State::Sized>::sizes(rows, false, kRowSizes);
  if (sizes.empty() || sizes.front() != rows) sizes.insert(sizes.begin(), rows);
  return sizes;
}

}  // namespace

std::string reject_onednn_fc(const char* type, const FCParams& p, const CallSite& site) {
  if (!site.is_constant(1) || !site.is_constant(2)) return "the weights or the bias are not constant";
  if (auto why = reject_packed_product(type, p, site); !why.empty()) return why;
  if (auto why = onednn::refuse_product_of(site.inputs[0].dtype); !why.empty()) return why;
  const bool a_row_each = FCSizes::of(type, p, site).axis_w == 1;
  if (is_quantised(site.inputs[0]) && !a_row_each) return "W has no row for each output";
  return onednn::refuse_int8(site);
}

Prepared prepare_onednn_fc(const char* type, const FCParams& p, const CallSite& site, bool relu) {
  auto state = std::make_shared<State>();
  const FCSizes s = state->sizes = FCSizes::of(type, p, site);
  state->bias = onednn::sum_bias(site, site.constants[2]->plain());
  state->bias_desc = matrix(1, s.columns, memory::data_type::f32);
  const DType x = site.inputs[0].dtype;
  const auto from = onednn::data_type(x), to = onednn::data_type(site.outputs[0].dtype);
  const auto describe = [&](std::int64_t rows, const memory::desc& layout) {
    return dnnl::matmul::primitive_desc(onednn::cpu(), matrix(rows, s.depth, from), layout, state->bias_desc,
                                        matrix(rows, s.columns, to), onednn::attributes(site, kColumns, -1, relu));
  };
  const std::string owner = onednn::owner("FC/onednn", x);
  const auto sizes = row_sizes(s.rows, !site.bounded);
  memory::desc wanted = onednn::weights_layout(
      site.constants[1]->packed_by(owner), matrix(s.depth, s.columns, onednn::weights_type(x), memory::format_tag::any),
      [&](const memory::desc& layout) { return describe(sizes.front(), layout); });
  Prepared prepared;
  for (const auto rows : sizes) {
    const auto desc = describe(rows, wanted);
    if (prepared.detail.empty()) prepared.detail = desc.impl_info_str();
    wanted = desc.weights_desc();
    state->products.add(rows, {dnnl::matmul(desc), desc.src_desc(), desc.dst_desc(), desc.scratchpad_desc()});
    prepared.scratch_bytes = std::max(prepared.scratch_bytes, desc.scratchpad_desc().get_size());
  }
  const memory::desc plain = matrix(s.depth, s.columns, memory::data_type::f32, memory::format_tag::ba);
  // W is (columns, depth)
  state->weights = onednn::packed(*site.constants[1], "matrix", owner, plain, wanted, {0, kColumns});
  state->factors = onednn::sum_factors(site, *state->weights);
  state->factors_desc = onednn::describe_factors(s.columns);
  prepared.packed = {1};
  prepared.state = state;
  return prepared;
}

void run_onednn_fc(const Call& call) {
  const auto& state = *static_cast<const State*>(call.state);
  const Tensor &x = call.input(0), &y = call.output(0);
  const std::int64_t rows = y.size() / state.sizes.columns;
  // Rows of the matrices, which need not be those of the tensors.
  const auto at = [](const Tensor& t, std::int64_t elements) {
    return static_cast<const std::byte*>(t.raw()) + static_cast<std::size_t>(elements) * size_of(t.dtype());
  };
  state.products.for_each(rows, [&](const State::Sized& sized, std::int64_t first) {
    onednn::execute(sized.matmul, {{DNNL_ARG_WEIGHTS, state.weights->desc, state.weights->data.get()},
                                   {DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, state.factors_desc, state.factors.raw()},
                                   {DNNL_ARG_BIAS, state.bias_desc, state.bias.raw()},
                                   {DNNL_ARG_SRC, sized.x, at(x, first * state.sizes.depth)},
                                   {DNNL_ARG_DST, sized.y, at(y, first * state.sizes.columns)},
                                   {DNNL_ARG_SCRATCHPAD, sized.scratch, call.scratch}});
  });
}

}  // namespace d2deploy
