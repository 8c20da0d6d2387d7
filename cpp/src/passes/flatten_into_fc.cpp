// FC reads its input flat anyway, so Flatten before it is not needed, and the weights can follow the layout of the
// feature maps instead of the maps being transposed.
#include "operators/fc/fc.h"
#include "operators/flatten/flatten.h"
#include "passes/pass.h"

namespace d2deploy {

int flatten_into_fc(Graph& graph, const Log&) {
  const auto types = infer_types(graph);
  int places = 0;
  for (auto& node : graph.nodes) {
    if (node.type != "FC") continue;
    const auto producer = Uses(graph).producer(node.inputs[0]);
    const auto weights = graph.constants.find(node.inputs[1]);
    if (producer < 0 || weights == graph.constants.end() || weights->second.shape().rank() != 2) continue;
    const Node& flatten = graph.nodes[static_cast<std::size_t>(producer)];
    const auto fc = params_of<FC>(node);
    if (flatten.type != "Flatten" || params_of<Flatten>(flatten).axis != 1 || fc.axis != 1 || fc.axis_w != 1) continue;
    const Shape x = types.at(flatten.inputs[0]).shape;
    if (x.rank() != 4 || x[1] == kUnknown || x[2] == kUnknown || x[3] == kUnknown) continue;
    TensorType type = weights->second.type();
    if (x.size(1, 4) != type.shape[1]) continue;
    type.shape = {type.shape[0], x[1], x[2], x[3]};
    const auto name = unused_name(graph, node.inputs[1] + ".maps");
    graph.constants[name] = weights->second.with_type(type);
    node.inputs[0] = flatten.inputs[0];
    node.inputs[1] = name;
    ++places;
  }
  if (places) remove_dead(graph);
  return places;
}

}  // namespace d2deploy
