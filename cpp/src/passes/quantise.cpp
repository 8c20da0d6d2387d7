#include "passes/quantise.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "core/element_type.h"
#include "kernels/quantise.h"
#include "operators/conv_transpose/conv_transpose.h"
#include "passes/heavy_readers.h"
#include "passes/rewrite.h"

namespace d2deploy {

namespace {

bool is_transposed(const Operator& op) { return op.type.starts_with("ConvTranspose"); }
bool passes_on(const Operator& op) { return op.is(keeps_range) || op.is(view); }

// No CPU sums a transposed convolution in 8 bits fast where its windows overlap, as in bilinear resizing.
bool windows_overlap(const Operator& op, const Node& node) {
  if (!is_transposed(op)) return false;
  const Parameters params = op.parse(node.args);  // those of ConvTranspose, with a ReLU behind it or without
  const Window at = resolve(node.type.c_str(), *static_cast<const ConvTransposeParams*>(params.get()));
  return at.kernel_h > at.stride_h || at.kernel_w > at.stride_w;
}

}  // namespace

Quantisable find_quantisable(const Graph& graph) {
  Quantisable found{{}, read_by_heavy(graph)};
  std::set<std::string> behind_heavy;
  for (const auto& node : graph.nodes) {
    const Operator& op = *find_operator(node.type);
    const bool behind = std::ranges::any_of(node.inputs, [&](const auto& x) { return behind_heavy.contains(x); });
    if (behind || op.is(heavy)) behind_heavy.insert(node.outputs.begin(), node.outputs.end());
    if (can_quantise(op) && !windows_overlap(op, node) && behind_heavy.contains(node.outputs[0]) &&
        found.values.contains(node.outputs[0]) &&
        std::ranges::any_of(node.inputs, [&](const auto& x) { return behind && behind_heavy.contains(x); }))
      found.layers.insert(node.outputs[0]);
  }
  return found;
}

bool can_quantise(const Operator& op) {
  return op.is(heavy) && std::ranges::find(op.fields, std::string_view("y_dtype"), &FieldInfo::name) != op.fields.end();
}

std::size_t output_channels_axis(const Operator& op) { return is_transposed(op) ? 1 : 0; }

TensorType quantised_type(const Range& range) {
  TensorType type{range.low < 0 ? DType::int8 : DType::uint8, {}};
  const float most = std::max(-range.low, range.high);
  constexpr float kLeast = 1e-20F, kMost = 1e20F;  // squares of both, and products with scales, are normal numbers
  if (most >= kLeast && most <= kMost) type.scale = most / most_quanta(type.dtype);
  return type;
}

std::vector<Node> expand_quantised(const Node& node, std::span<const TensorType> inputs, UnusedNames& names) {
  Node wide = node;
  std::vector<Node> nodes;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!is_quantised(inputs[i])) continue;
    wide.inputs[i] = names.make(node.inputs[i] + ".float32");
    nodes.push_back(
        Node{"Reorder", {{"dtype", std::string(name(DType::float32))}}, {node.inputs[i]}, {wide.inputs[i]}});
  }
  std::optional<Node> narrow;
  if (const auto dtype = node.args.find("y_dtype"); dtype != node.args.end()) {
    wide.outputs[0] = names.make(node.outputs[0] + ".float32");
    narrow = Node{"Reorder",
                  {{"dtype", dtype->second}, {"scale", node.args.at("y_scale")}},
                  {wide.outputs[0]},
                  {node.outputs[0]}};
    wide.args.erase("y_dtype");
    wide.args.erase("y_scale");
  }
  auto plain = expand(wide, names);
  if (plain.empty()) return {};
  std::ranges::move(plain, std::back_inserter(nodes));
  if (narrow) nodes.push_back(*narrow);
  return nodes;
}

namespace {

class Quantiser {
 public:
  Quantiser(Graph& graph, const Calibration& calibration)
      : graph_(graph),
        calibration_(calibration),
        names_(graph),
        uses_(graph),
        outputs_(graph.outputs.begin(), graph.outputs.end()),
        types_(given_types(graph)) {
    for (const auto& [name, tensor] : graph.constants) ++names_of_memory_[tensor.raw()];
    trace_views();
    choose_layers();
    find_wanted();
  }

  int run() {
    for (auto& node : graph_.nodes) visit(node);
    graph_.nodes = std::move(nodes_);
    return static_cast<int>(layers_.size());
  }

 private:
  // A view's output has the range of its input, whose name a calibration has.
  void trace_views() {
    for (const auto& node : graph_.nodes)
      if (find_operator(node.type)->is(view)) source_[node.outputs[0]] = source(node.inputs[0]);
  }
  std::string source(const std::string& value) const {
    const auto it = source_.find(value);
    return it == source_.end() ? value : it->second;
  }

  TensorType wanted_type(const std::string& value) const {
    const auto it = calibration_.ranges.find(source(value));
    return it == calibration_.ranges.end() ? TensorType() : quantised_type(it->second);
  }
  bool has_range(const std::string& value) const { return is_quantised(wanted_type(value)); }

  bool weights_suit(const Node& node) const {
    if (std::ranges::count(node.inputs, node.inputs[1]) != 1) return false;  // read as something else, too
    const auto it = graph_.constants.find(node.inputs[1]);
    if (it == graph_.constants.end() || it->second.dtype() != DType::float32 || it->second.size() == 0) return false;
    return std::ranges::all_of(it->second.values<float>(), [](float w) { return std::isfinite(w); });
  }

  void choose_layers() {
    const auto layers = find_quantisable(graph_).layers;
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      const auto& y = node.outputs[0];
      if (!layers.contains(y) || calibration_.kept.contains(y) || !has_range(node.inputs[0]) || !weights_suit(node))
        continue;
      layers_.insert(y);
      layer_indices_.insert(i);
      axes_[node.inputs[1]].insert(output_channels_axis(*find_operator(node.type)));
    }
  }
  bool is_layer(const Node& node) const { return layers_.contains(node.outputs[0]); }

  // Whether all that is added to a layer's sum can be quantised like its output: otherwise both are float32.
  bool addends_suit(const Node& node) const {
    constexpr std::size_t kAddend = 3;
    return node.inputs.size() <= kAddend || has_range(node.inputs[kAddend]);
  }

  // The values that are of use in 8 bits: layers read them, directly or through what passes them on.
  void find_wanted() {
    for (auto node = graph_.nodes.rbegin(); node != graph_.nodes.rend(); ++node) {
      const Operator& op = *find_operator(node->type);
      const bool narrow = wanted_.contains(node->outputs[0]);
      if (!is_layer(*node) && !(passes_on(op) && narrow)) continue;
      const auto may = may_reduce_inputs(op, *node);
      const bool all = !is_layer(*node) || (narrow && has_range(node->outputs[0]) && addends_suit(*node));
      for (std::size_t i = 0; i < node->inputs.size(); ++i)
        if (may[i] && (all || i == 0)) wanted_.insert(node->inputs[i]);
    }
  }

  bool narrow_output(const Node& node) const {
    return wanted_.contains(node.outputs[0]) && has_range(node.outputs[0]) && addends_suit(node);
  }

  // Whether a light node finds what it reads in 8 bits, and somebody wants that of it.
  bool stays_narrow(const Operator& op, const Node& node) const {
    if (!passes_on(op) || !wanted_.contains(node.outputs[0])) return false;
    const auto may = may_reduce_inputs(op, node);
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      if (may[i] && !is_quantised(types_.at(node.inputs[i]))) return false;
    return true;
  }

  void visit(Node& node) {
    const Operator& op = *find_operator(node.type);
    const bool layer = is_layer(node), narrow = layer && narrow_output(node), stays = stays_narrow(op, node);
    const auto may = may_reduce_inputs(op, node);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const bool in_8_bits = may[i] && (stays || (layer && (i == 0 || narrow)));
      node.inputs[i] = in_8_bits ? quantised(node.inputs[i]) : in_float32(node.inputs[i]);
    }
    if (layer) node.inputs[1] = rounded(node.inputs[1], output_channels_axis(op));
    if (narrow) {
      const TensorType type = wanted_type(node.outputs[0]);
      node.args["y_dtype"] = std::string(name(type.dtype));
      node.args["y_scale"] = type.scale;
    }
    infer_node(graph_, node, types_);
    nodes_.push_back(std::move(node));
    const std::size_t maker = nodes_.size() - 1;
    for (std::size_t i = 0; i < nodes_[maker].outputs.size(); ++i) restore_output(maker, i);
  }

  std::string quantised(const std::string& value) {
    if (is_quantised(types_.at(value)) || graph_.constants.contains(value)) return value;
    const TensorType type = wanted_type(value);
    return is_quantised(type) ? copy(value, type) : value;
  }
  std::string in_float32(const std::string& value) {
    return is_quantised(types_.at(value)) ? copy(value, TensorType()) : value;
  }

  std::string copy(const std::string& value, const TensorType& type) {
    const auto dtype = std::string(name(type.dtype));
    const auto key = std::pair{value, type.dtype};
    if (const auto it = copies_.find(key); it != copies_.end()) return it->second;
    const auto made = names_.make(value + '.' + dtype);
    Node node{"Reorder", {{"dtype", dtype}}, {value}, {made}};
    if (is_quantised(type)) node.args["scale"] = type.scale;
    infer_node(graph_, node, types_);
    nodes_.push_back(std::move(node));
    return copies_[key] = made;
  }

  std::string rounded(const std::string& weights, std::size_t axis) {
    const auto key = std::pair{weights, axis};
    if (const auto it = rounded_.find(key); it != rounded_.end()) return it->second;
    const auto made = names_.make(weights + ".int8");
    const bool last = read_by_layers_alone(weights);
    Tensor values = graph_.constants.at(weights);
    const bool shared = names_of_memory_.at(values.raw()) > 1;
    if (last) graph_.constants.erase(weights);  // then its memory serves: twice all weights is much
    if (!last || shared) values = values.clone();
    round_weights(values, axis);
    graph_.constants[made] = values;
    types_[made] = values.type();
    return rounded_[key] = made;
  }

  // And all round it along the same axis.
  bool read_by_layers_alone(const std::string& weights) const {
    return !uses_.is_output(weights) && axes_.at(weights).size() == 1 &&
           std::ranges::all_of(uses_.readers(weights),
                               [&](std::size_t reader) { return layer_indices_.contains(reader); });
  }

  // An output of the net that came out in 8 bits: its maker writes another name, a Reorder the output.
  void restore_output(std::size_t maker, std::size_t index) {
    const std::string value = nodes_[maker].outputs[index];
    const TensorType type = types_.at(value);
    if (!is_quantised(type) || !outputs_.contains(value)) return;
    const auto narrow = names_.make(value + '.' + std::string(name(type.dtype)));
    nodes_[maker].outputs[index] = narrow;
    types_[narrow] = type;
    nodes_.push_back(Node{"Reorder", {{"dtype", std::string(name(DType::float32))}}, {narrow}, {value}});
    infer_node(graph_, nodes_.back(), types_);
    copies_[{value, type.dtype}] = narrow;
    source_[narrow] = source(value);
  }

  Graph& graph_;
  const Calibration& calibration_;
  UnusedNames names_;
  const Uses uses_;
  const std::set<std::string> outputs_;
  TypeMap types_;
  std::map<std::string, std::string> source_;
  std::set<std::string> layers_, wanted_;
  std::set<std::size_t> layer_indices_;                // of nodes
  std::map<std::string, std::set<std::size_t>> axes_;  // of weights of layers: those of output channels
  std::map<const void*, int> names_of_memory_;         // how many constants lie there
  std::vector<Node> nodes_;
  std::map<std::pair<std::string, DType>, std::string> copies_;
  std::map<std::pair<std::string, std::size_t>, std::string> rounded_;
};

}  // namespace

int quantise(Graph& graph, const Calibration& calibration, const Log& sink) {
  const Quantisable all = find_quantisable(graph);
  const bool known = std::ranges::any_of(all.values, [&](const auto& v) { return calibration.ranges.contains(v); });
  check<InvalidModel>(known || all.values.empty(), "the calibration has no value of this net");
  const int layers = Quantiser(graph, calibration).run();
  log(sink, LogLevel::debug, "int8: ", layers, " of ", all.layers.size(), " layers that can have it");
  remove_dead(graph);
  return layers;
}

}  // namespace d2deploy
