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
  memory::desc wanted = matrix(s.depth, s.columns, memory::format_tag::any);
  Prepared prepared;
  for (const auto rows : row_sizes(s.rows, !site.bounded)) {
    const dnnl::matmul::primitive_desc desc(onednn::cpu(), matrix(rows, s.depth), wanted, state->bias_desc,
                                            matrix(rows, s.columns), attributes);
    if (prepared.detail.empty()) prepared.detail = desc.impl_info_str();
    wanted = desc.weights_desc();
    state->products.add(rows, {dnnl::matmul(desc), desc.src_desc(), desc.dst_desc(), desc.scratchpad_desc()});
    prepared.scratch_bytes = std::max(prepared.scratch_bytes, desc.scratchpad_desc().get_size());
  }
  const memory::desc plain = matrix(s.depth, s.columns, memory::format_tag::ba);  // W is (columns, depth)
  const TensorType type_of_w = site.inputs[1];
  const auto pack = [&](const Tensor& values) -> Constant::Packed {
    auto packed = onednn::pack(plain, values.raw(), wanted);
    return {packed, [packed, plain, type_of_w] { return onednn::unpack(*packed, plain, type_of_w); }};
  };
  state->weights = std::static_pointer_cast<const onednn::PackedWeights>(
      site.constants[1]->packed("onednn matrix " + onednn::key(wanted), pack));
  prepared.packed = {1};
  prepared.state = state;
  return prepared;
}

void run_onednn_fc(const Call& call) {
  const auto& state = *static_cast<const State*>(call.state);
  dnnl::stream stream(onednn::cpu());
  const std::int64_t rows = call.output(0).size() / state.sizes.columns;
  std::unordered_map<int, memory> args{{DNNL_ARG_WEIGHTS, onednn::view(state.weights->desc, state.weights->data.get())},
                                       {DNNL_ARG_BIAS, onednn::view(state.bias_desc, state.bias.raw())}};
  state.products.for_each(rows, [&](const State::Sized& sized, std::int64_t first) {
    args[DNNL_ARG_SRC] = onednn::view(sized.x, call.in<float>(0) + first * state.sizes.depth);
    args[DNNL_ARG_DST] = onednn::view(sized.y, call.out<float>(0) + first * state.sizes.columns);
    args[DNNL_ARG_SCRATCHPAD] = onednn::view(sized.scratch, call.scratch);
    sized.matmul.execute(stream, args);
  });
  stream.wait();
}

}  // namespace d2deploy
