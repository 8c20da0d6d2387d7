// Nodes whose inputs are all constants are run once, here.
#include <algorithm>

#include "operators/evaluate.h"
#include "passes/pass.h"

namespace d2deploy {

namespace {

// What is larger than this is cheaper to compute than to keep.
constexpr std::int64_t kMostElements = 1 << 20;

bool small(const std::vector<Tensor>& tensors) {
  return std::ranges::all_of(tensors, [](const Tensor& t) { return t.size() <= kMostElements; });
}

// Small inputs can ask for outputs of any size; those are the plan's to bound.
bool makes_small(const Node& node, const std::vector<Tensor>& inputs) {
  return with_context([&] { return describe(node); },
                      [&] {
                        const Evaluation evaluation(*find_operator(node.type), node.args, inputs);
                        return std::ranges::all_of(evaluation.output_types(), [](const TensorType& t) {
                          return !t.shape.known() || t.shape.size() <= kMostElements;
                        });
                      });
}

}  // namespace

int fold_constants(Graph& graph, const Log&) {
  std::vector<Node> kept;
  int places = 0;
  for (auto& node : graph.nodes) {
    const bool constant = !node.inputs.empty() && std::ranges::all_of(node.inputs, [&](const std::string& x) {
      return graph.constants.contains(x);
    });
    const bool is_output = std::ranges::any_of(
        node.outputs, [&](const std::string& y) { return std::ranges::find(graph.outputs, y) != graph.outputs.end(); });
    std::vector<Tensor> inputs;
    if (constant)
      for (const auto& x : node.inputs) inputs.push_back(graph.constants.at(x));
    if (!constant || is_output || !small(inputs) || !makes_small(node, inputs)) {
      kept.push_back(std::move(node));
      continue;
    }
    with_context([&] { return describe(node); },
                 [&] {
                   const auto outputs = evaluate(*find_operator(node.type), node.args, inputs);
                   for (std::size_t i = 0; i < node.outputs.size(); ++i) graph.constants[node.outputs[i]] = outputs[i];
                 });
    ++places;
  }
  graph.nodes = std::move(kept);
  if (places) remove_dead(graph);
  return places;
}

}  // namespace d2deploy
