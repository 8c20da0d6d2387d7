#include "operators/fc/fc_onednn.h"

#include <algorithm>

#include "kernels/onednn.h"

namespace d2deploy {

namespace {

using dnnl::memory;

// Every step down reads the weights again, so the steps are large; one row at a time ends the list.
constexpr std::initializer_list<std::int64_t> kRowSizes = {1024, 256, 64, 16, 4, 1};

struct State {
  struct Sized {
    dnnl::matmul matmul;
    memory::desc x, y, scratch;
  };
  onednn::ByRows<Sized> products;
  std::shared_ptr<const onednn::PackedWeights> weights;
  memory::desc bias_desc;
  Tensor bias;
  FCSizes sizes{};
};

FCSizes sizes_of(const char* type, const FCParams& p, const CallSite& site) {
  return FCSizes::of(type, p, site.inputs[0].shape, site.inputs[1].shape, site.inputs[2].shape);
}

memory::desc matrix(std::int64_t rows, std::int64_t columns, memory::format_tag tag = memory::format_tag::ab) {
  return {{rows, columns}, memory::data_type::f32, tag};
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
  if (!site.outputs[0].shape.known() || site.outputs[0].shape.size() == 0)
    return "the output is empty or of unknown size";
  const FCSizes s = sizes_of(type, p, site);
  if (s.depth <= 0) return "there is nothing to sum";
  if (!fc_reads_in_place(s, site.inputs[0], site.inputs[1])) return "X and W lie in different orders";
  if (site.outputs[0].layout == Layout::channels_last) return "the output is an image that is channels-last";
  if (site.bounded && s.axis != 1) return "the rows of the matrix are not the rows of X";
  return {};
}

Prepared prepare_onednn_fc(const char* type, const FCParams& p, const CallSite& site, bool relu) {
  auto state = std::make_shared<State>();
  const FCSizes s = state->sizes = sizes_of(type, p, site);
  state->bias = site.constants[2]->plain();
  state->bias_desc = matrix(1, s.columns);
  dnnl::primitive_attr attributes;
  dnnl::post_ops post;
  if (relu) post.append_eltwise(dnnl::algorithm::eltwise_relu, 0.0F, 0.0F);
  attributes.set_post_ops(post);
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const auto describe = [&](std::int64_t rows, const memory::desc& layout) {
    return dnnl::matmul::primitive_desc(onednn::cpu(), matrix(rows, s.depth), layout, state->bias_desc,
                                        matrix(rows, s.columns), attributes);
  };
  const std::string owner = "FC/onednn_f32";
  const auto sizes = row_sizes(s.rows, !site.bounded);
  memory::desc wanted =
      onednn::weights_layout(site.constants[1]->packed_by(owner), matrix(s.depth, s.columns, memory::format_tag::any),
                             [&](const memory::desc& layout) { return describe(sizes.front(), layout); });
  Prepared prepared;
  for (const auto rows : sizes) {
    const auto desc = describe(rows, wanted);
    if (prepared.detail.empty()) prepared.detail = desc.impl_info_str();
    wanted = desc.weights_desc();
    state->products.add(rows, {dnnl::matmul(desc), desc.src_desc(), desc.dst_desc(), desc.scratchpad_desc()});
    prepared.scratch_bytes = std::max(prepared.scratch_bytes, desc.scratchpad_desc().get_size());
  }
  const memory::desc plain = matrix(s.depth, s.columns, memory::format_tag::ba);  // W is (columns, depth)
  const TensorType type_of_w = site.inputs[1];
  const auto pack = [&](const Tensor& values) -> Constant::Packed {
    auto packed = onednn::pack(plain, values.raw(), wanted);
    return {packed, wanted.get_size(),
            [packed, plain, type_of_w] { return onednn::unpack(*packed, plain, type_of_w); }};
  };
  state->weights = std::static_pointer_cast<const onednn::PackedWeights>(
      site.constants[1]->packed("onednn matrix " + onednn::key(wanted), owner, pack));
  prepared.packed = {1};
  prepared.state = state;
  return prepared;
}

void run_onednn_fc(const Call& call) {
  const auto& state = *static_cast<const State*>(call.state);
  const std::int64_t rows = call.output(0).size() / state.sizes.columns;
  state.products.for_each(rows, [&](const State::Sized& sized, std::int64_t first) {
    onednn::execute(sized.matmul, {{DNNL_ARG_WEIGHTS, state.weights->desc, state.weights->data.get()},
                                   {DNNL_ARG_BIAS, state.bias_desc, state.bias.raw()},
                                   {DNNL_ARG_SRC, sized.x, call.in<float>(0) + first * state.sizes.depth},
                                   {DNNL_ARG_DST, sized.y, call.out<float>(0) + first * state.sizes.columns},
                                   {DNNL_ARG_SCRATCHPAD, sized.scratch, call.scratch}});
  });
}

}  // namespace d2deploy
