// FC reads its input flat anyway, so Flatten before it is not needed, and the weights can follow the layout of the
// feature maps instead of the maps being transposed.
#include "operators/fc/fc.h"
#include "operators/flatten/flatten.h"
#include "passes/pass.h"

namespace d2deploy {

namespace {

// What is flattened into the FC's input: the input of a Flatten, or the FC's own input where that is an image.
std::string flattened(const Graph& graph, const Uses& uses, const Node& fc) {
  const auto producer = uses.producer(fc.inputs[0]);
  if (producer < 0) return fc.inputs[0];
  const Node& node = graph.nodes[static_cast<std::size_t>(producer)];
  return node.type == "Flatten" && params_of<Flatten>(node).axis == 1 ? node.inputs[0] : fc.inputs[0];
}

}  // namespace

int flatten_into_fc(Graph& graph, const Log&) {
  const auto types = infer_types(graph);
  const Uses uses(graph);
  int places = 0;
  for (auto& node : graph.nodes) {
    if (node.type != "FC" || params_of<FC>(node).axis != 1 || params_of<FC>(node).axis_w != 1) continue;
    const auto weights = graph.constants.find(node.inputs[1]);
    if (weights == graph.constants.end() || weights->second.shape().rank() != 2) continue;
    const std::string maps = flattened(graph, uses, node);
    const Shape x = types.at(maps).shape;
    if (x.rank() != 4 || x[1] == kUnknown || x[2] == kUnknown || x[3] == kUnknown) continue;
    TensorType type = weights->second.type();
    if (x.size(1, 4) != type.shape[1]) continue;
    type.shape = {type.shape[0], x[1], x[2], x[3]};
    const auto name = unused_name(graph, node.inputs[1] + ".maps");
    graph.constants[name] = weights->second.with_type(type);
    node.inputs[0] = maps;
    node.inputs[1] = name;
    ++places;
  }
  if (places) remove_dead(graph);
  return places;
}

}  // namespace d2deploy
