// SpatialBN and AffineChannel behind a convolution go into its weights and bias: both are y = factor x + shift per
// channel. The products are rounded once, from float64.
#include <optional>

#include "operators/spatial_bn/spatial_bn.h"
#include "passes/pass.h"

namespace d2deploy {

namespace {

using Lines = std::vector<SpatialBN::Line>;

// The vectors of `channels` numbers that the node has as its inputs behind X; empty unless all are such constants.
std::vector<const float*> channel_constants(const Graph& graph, const Node& node, std::int64_t channels) {
  std::vector<const float*> values;
  for (std::size_t i = 1; i < node.inputs.size(); ++i) {
    const auto it = graph.constants.find(node.inputs[i]);
    if (it == graph.constants.end() || it->second.type() != f32({channels})) return {};
    values.push_back(it->second.data<float>());
  }
  return values;
}

// What the node makes of each channel; nothing where that is not known, or where it is no such node.
std::optional<Lines> lines_of(const Graph& graph, const Node& node, std::int64_t channels) {
  const bool bn = node.type == "SpatialBN";
  if ((!bn && node.type != "AffineChannel") || node.outputs.size() != 1) return std::nullopt;
  const auto v = channel_constants(graph, node, channels);
  if (v.size() != (bn ? 4U : 2U)) return std::nullopt;
  const auto params = bn ? params_of<SpatialBN>(node) : SpatialBN::Params{};
  if (bn && !params.is_test) return std::nullopt;
  Lines lines;
  for (std::int64_t c = 0; c < channels; ++c)
    lines.push_back(bn ? SpatialBN::line(params, v[0][c], v[1][c], v[2][c], v[3][c])
                       : SpatialBN::Line{static_cast<double>(v[0][c]), static_cast<double>(v[1][c])});
  return lines;
}

// The filters of a convolution with constant filters and a constant bias; else null.
const Tensor* constant_filters(const Graph& graph, const Node& conv) {
  if (conv.type != "Conv" || conv.inputs.size() != 3) return nullptr;
  const auto weights = graph.constants.find(conv.inputs[1]), bias = graph.constants.find(conv.inputs[2]);
  if (weights == graph.constants.end() || bias == graph.constants.end()) return nullptr;
  const Tensor& w = weights->second;
  const bool fits = w.shape().rank() == 4 && w.dtype() == DType::float32 && w.layout() == Layout::row_major &&
                    w.size() > 0 && bias->second.type() == f32({w.dim(0)});
  return fits ? &w : nullptr;
}

// Gives the convolution constants of its own: others may read the ones that it has.
void fold(Graph& graph, Node& conv, const Lines& lines) {
  Tensor weights = graph.constants.at(conv.inputs[1]).clone(), bias = graph.constants.at(conv.inputs[2]).clone();
  const std::int64_t filter = weights.size() / weights.dim(0);
  float *w = weights.data<float>(), *b = bias.data<float>();
  for (const auto& line : lines) {
    for (std::int64_t i = 0; i < filter; ++i, ++w) *w = static_cast<float>(static_cast<double>(*w) * line.factor);
    *b = static_cast<float>(static_cast<double>(*b) * line.factor + line.shift);
    ++b;
  }
  const auto add = [&](const char* what, const Tensor& tensor) {
    const auto name = unused_name(graph, conv.outputs[0] + what);
    graph.constants[name] = tensor;
    return name;
  };
  conv.inputs[1] = add(".weights", weights);
  conv.inputs[2] = add(".bias", bias);
}

}  // namespace

int fold_scale(Graph& graph, const Log&) {
  const Uses uses(graph);
  std::map<std::string, std::size_t> makers;  // value -> its node among those that are kept
  std::vector<Node> kept;
  for (auto& node : graph.nodes) {
    const auto maker = node.inputs.empty() ? makers.end() : makers.find(node.inputs[0]);
    if (maker != makers.end() && uses.readers(node.inputs[0]).size() == 1 && !uses.is_output(node.inputs[0])) {
      Node& conv = kept[maker->second];
      const Tensor* filters = constant_filters(graph, conv);
      const auto lines = filters == nullptr ? std::nullopt : lines_of(graph, node, filters->dim(0));
      if (lines) {
        conv.outputs = node.outputs;
        fold(graph, conv, *lines);
        makers[node.outputs[0]] = maker->second;
        continue;
      }
    }
    kept.push_back(std::move(node));
    for (const auto& y : kept.back().outputs) makers[y] = kept.size() - 1;
  }
  const auto places = static_cast<int>(graph.nodes.size() - kept.size());
  graph.nodes = std::move(kept);
  if (places) remove_dead(graph);
  return places;
}

}  // namespace d2deploy
