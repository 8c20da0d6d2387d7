// Nodes whose inputs are all constants are run once, here.
#include <algorithm>

#include "operators/evaluate.h"
#include "passes/pass.h"

namespace d2deploy {

namespace {

// What is larger than this is cheaper to compute than to keep.
constexpr std::int64_t kMostElements = 1 << 20;

bool small(const Types& types) {
  return std::ranges::all_of(types, [](const TensorType& t) { return t.shape.size() <= kMostElements; });
}

// Whether all inputs are constants, and they and the outputs, which are no outputs of the net, are small.
bool worth_folding(const Graph& graph, const Node& node) {
  const auto is_constant = [&](const std::string& x) { return graph.constants.contains(x); };
  const auto is_output = [&](const std::string& y) {
    return std::ranges::find(graph.outputs, y) != graph.outputs.end();
  };
  if (node.inputs.empty() || !std::ranges::all_of(node.inputs, is_constant) ||
      std::ranges::any_of(node.outputs, is_output))
    return false;
  Types inputs;
  std::vector<const Tensor*> values;
  for (const auto& x : node.inputs) {
    values.push_back(&graph.constants.at(x));
    inputs.push_back(values.back()->type());
  }
  const Operator& op = *find_operator(node.type);
  return small(inputs) && small(infer(op, op.parse(node.args), {inputs, values}, node.outputs.size()));
}

}  // namespace

int fold_constants(Graph& graph, const Log&) {
  std::vector<Node> kept;
  int places = 0;
  for (auto& node : graph.nodes)
    with_context([&] { return describe(node); },
                 [&] {
                   if (!worth_folding(graph, node)) {
                     kept.push_back(std::move(node));
                     return;
                   }
                   std::vector<Tensor> inputs;
                   for (const auto& x : node.inputs) inputs.push_back(graph.constants.at(x));
                   const auto outputs = evaluate(*find_operator(node.type), node.args, inputs);
                   for (std::size_t i = 0; i < node.outputs.size(); ++i) graph.constants[node.outputs[i]] = outputs[i];
                   ++places;
                 });
  graph.nodes = std::move(kept);
  if (places) remove_dead(graph);
  return places;
}

}  // namespace d2deploy
