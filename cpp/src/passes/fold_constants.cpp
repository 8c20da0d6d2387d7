// Nodes whose inputs are all constants, or that have none, are run once, here. So is Shape of a value whose shape is
// known.
#include <algorithm>
#include <optional>
#include <set>

#include "operators/evaluate.h"
#include "passes/pass.h"

namespace d2deploy {

namespace {

// What is larger than this is cheaper to compute than to keep.
constexpr std::int64_t kMostElements = 1 << 20;

bool small(const TensorType& type) { return type.shape.known() && type.shape.size() <= kMostElements; }

// Runs a node where its inputs are constants and nothing is large; nothing where that is not so.
std::optional<std::vector<Tensor>> folded(const Graph& graph, const Node& node) {
  std::vector<Tensor> inputs;
  for (const auto& x : node.inputs) {
    const auto it = graph.constants.find(x);
    if (it == graph.constants.end() || !small(it->second.type())) return std::nullopt;
    inputs.push_back(it->second);
  }
  Types types;
  std::vector<const Tensor*> values;
  for (const auto& x : inputs) {
    types.push_back(x.type());
    values.push_back(&x);
  }
  const Operator& op = *find_operator(node.type);
  // Asked before there is memory for it: a shape may be any number in the file.
  if (!std::ranges::all_of(infer(op, op.parse(node.args), {types, values}, node.outputs.size()), small))
    return std::nullopt;
  return evaluate(op, node.args, inputs);
}

// The shapes that are the same in every run. Those of values that depend on data are the most there may be.
class FixedShapes {
 public:
  explicit FixedShapes(const Graph& graph) {
    if (std::ranges::find(graph.nodes, "Shape", &Node::type) == graph.nodes.end()) return;
    types_ = infer_types(graph);
    for (const auto& node : graph.nodes)
      if (find_operator(node.type)->is(data_dependent) ||
          std::ranges::any_of(node.inputs, [&](const std::string& x) { return varying_.contains(x); }))
        varying_.insert(node.outputs.begin(), node.outputs.end());
  }

  // The result of a Shape node, where it does not depend on the run.
  std::optional<std::vector<Tensor>> shape(const Node& node) const {
    if (node.type != "Shape" || varying_.contains(node.inputs[0])) return std::nullopt;
    const TensorType& x = types_.at(node.inputs[0]);
    if (!x.shape.known()) return std::nullopt;
    return evaluate(*find_operator("Shape"), node.args, {Tensor::view(x, nullptr)});  // it reads no element
  }

 private:
  TypeMap types_;
  std::set<std::string> varying_;
};

int fold_once(Graph& graph) {
  const FixedShapes shapes(graph);
  std::vector<Node> kept;
  int places = 0;
  for (auto& node : graph.nodes) {
    const bool is_output = std::ranges::any_of(
        node.outputs, [&](const std::string& y) { return std::ranges::find(graph.outputs, y) != graph.outputs.end(); });
    std::optional<std::vector<Tensor>> outputs;
    if (!is_output)
      outputs = with_context([&] { return describe(node); },
                             [&] {
                               auto shape = shapes.shape(node);
                               return shape ? std::move(shape) : folded(graph, node);
                             });
    if (!outputs) {
      kept.push_back(std::move(node));
      continue;
    }
    for (std::size_t i = 0; i < node.outputs.size(); ++i) graph.constants[node.outputs[i]] = (*outputs)[i];
    ++places;
  }
  graph.nodes = std::move(kept);
  return places;
}

}  // namespace

int fold_constants(Graph& graph, const Log&) {
  int places = 0;
  while (const int n = fold_once(graph)) places += n;  // a shape that becomes constant may make others known
  if (places) remove_dead(graph);
  return places;
}

}  // namespace d2deploy
