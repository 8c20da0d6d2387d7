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

// What the node makes of each channel; nothing where that is not known, or where it is another node.
std::optional<Lines> lines_of(const Graph& graph, const Node& node, std::int64_t channels) {
  const bool bn = node.type == "SpatialBN";
  if ((!bn && node.type != "AffineChannel") || node.outputs.size() != 1) return std::nullopt;
  const auto v = channel_constants(graph, node, channels);
  if (v.size() != (bn ? 4U : 2U)) return std::nullopt;
  const auto params = bn ? params_of<SpatialBN>(node) : SpatialBN::Params{};
  if (bn && !params.is_test) return std::nullopt;
  Lines lines;
  for (std::int64_t c = 0; c < channels; ++c)
    lines.push_back(bn ? SpatialBN::line(params.epsilon, v[0][c], v[1][c], v[2][c], v[3][c])
                       : SpatialBN::Line{static_cast<double>(v[0][c]), static_cast<double>(v[1][c])});
  return lines;
}

// The place of the filters among the inputs, with the bias behind them.
std::size_t filters_of(const Node& conv) { return conv.type == "DeformConv" ? 2 : 1; }

// The filters of a convolution with constant filters and a constant bias; else null.
const Tensor* constant_filters(const Graph& graph, const Node& conv) {
  const std::size_t at = filters_of(conv);
  if ((conv.type != "Conv" && conv.type != "DeformConv") || conv.inputs.size() < at + 2) return nullptr;
  const auto weights = graph.constants.find(conv.inputs[at]), bias = graph.constants.find(conv.inputs[at + 1]);
  if (weights == graph.constants.end() || bias == graph.constants.end()) return nullptr;
  const Tensor& w = weights->second;
  const bool fits = w.shape().rank() == 4 && w.dtype() == DType::float32 && w.layout() == Layout::row_major &&
                    w.size() > 0 && bias->second.type() == f32({w.dim(0)});
  return fits ? &w : nullptr;
}

// `then` after `lines`: the line of each channel through both.
void append(Lines& lines, const Lines& then) {
  if (lines.empty()) {
    lines = then;
    return;
  }
  for (std::size_t c = 0; c < lines.size(); ++c) {
    lines[c].shift = then[c].factor * lines[c].shift + then[c].shift;
    lines[c].factor *= then[c].factor;
  }
}

// Gives the convolution constants of its own: others may read the ones that it has.
void fold(Graph& graph, UnusedNames& names, Node& conv, const Lines& lines) {
  const std::size_t at = filters_of(conv);
  Tensor weights = graph.constants.at(conv.inputs[at]).clone(), bias = graph.constants.at(conv.inputs[at + 1]).clone();
  const std::int64_t filter = weights.size() / weights.dim(0);
  float *w = weights.data<float>(), *b = bias.data<float>();
  for (const auto& line : lines) {
    for (std::int64_t i = 0; i < filter; ++i, ++w) *w = static_cast<float>(static_cast<double>(*w) * line.factor);
    *b = static_cast<float>(static_cast<double>(*b) * line.factor + line.shift);
    ++b;
  }
  const auto add = [&](const char* what, const Tensor& tensor) {
    const auto name = names.make(conv.outputs[0] + what);
    graph.constants[name] = tensor;
    return name;
  };
  conv.inputs[at] = add(".weights", weights);
  conv.inputs[at + 1] = add(".bias", bias);
}

class Folder {
 public:
  explicit Folder(Graph& graph) : graph_(graph), uses_(graph) {}

  int run() {
    for (auto& node : graph_.nodes) {
      if (fold_into_maker(node)) continue;
      kept_.push_back(std::move(node));
      for (const auto& y : kept_.back().outputs) makers_[y] = kept_.size() - 1;
    }
    const auto places = static_cast<int>(graph_.nodes.size() - kept_.size());
    graph_.nodes = std::move(kept_);
    if (places == 0) return 0;
    UnusedNames names(graph_);
    for (const auto& [conv, lines] : lines_) fold(graph_, names, graph_.nodes[conv], lines);
    remove_dead(graph_);
    return places;
  }

 private:
  // A file can name one tensor in any number of nodes: the channels that are gone through, and the elements of filters
  // that are copied since others read them, are bounded. No net comes near.
  static constexpr std::int64_t kMostElements = 1 << 26;

  bool fold_into_maker(const Node& node) {
    const auto maker = node.inputs.empty() ? makers_.end() : makers_.find(node.inputs[0]);
    if (maker == makers_.end() || uses_.readers(node.inputs[0]).size() != 1 || uses_.is_output(node.inputs[0]))
      return false;
    const std::size_t index = maker->second;
    Node& conv = kept_[index];
    const Tensor* filters = constant_filters(graph_, conv);
    if (filters == nullptr) return false;
    const bool copied = !lines_.contains(index) && uses_.readers(conv.inputs[filters_of(conv)]).size() > 1;
    const std::int64_t elements = filters->dim(0) + (copied ? filters->size() : 0);
    if (elements > elements_left_) return false;
    const auto lines = lines_of(graph_, node, filters->dim(0));
    if (!lines) return false;
    elements_left_ -= elements;
    append(lines_[index], *lines);
    conv.outputs = node.outputs;
    makers_[node.outputs[0]] = index;
    return true;
  }

  Graph& graph_;
  const Uses uses_;
  std::vector<Node> kept_;
  std::map<std::string, std::size_t> makers_;  // value -> its node among those that are kept
  std::map<std::size_t, Lines> lines_;         // convolution among them -> what its output goes through
  std::int64_t elements_left_ = kMostElements;
};

}  // namespace

int fold_scale(Graph& graph, const Log&) { return Folder(graph).run(); }

}  // namespace d2deploy
