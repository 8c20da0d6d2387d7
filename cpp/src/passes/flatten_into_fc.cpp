// FC reads its input flat anyway, so Flatten before it is not needed, and the weights can follow the layout of the
// feature maps instead of the maps being transposed.
#include <algorithm>
#include <optional>

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

// The weights as they are read from `maps` of this shape; nothing where they are not constant or do not fit.
std::optional<Tensor> weights_of_maps(const Graph& graph, const Node& fc, const Shape& maps) {
  const auto weights = graph.constants.find(fc.inputs[1]);
  if (weights == graph.constants.end() || weights->second.shape().rank() != 2) return std::nullopt;
  if (maps.rank() != 4 || maps[1] == kUnknown || maps[2] == kUnknown || maps[3] == kUnknown) return std::nullopt;
  TensorType type = weights->second.type();
  if (maps.size(1, 4) != type.shape[1]) return std::nullopt;
  type.shape = {type.shape[0], maps[1], maps[2], maps[3]};
  return weights->second.with_type(type);
}

}  // namespace

int flatten_into_fc(Graph& graph, const Log&) {
  if (std::ranges::find(graph.nodes, "FC", &Node::type) == graph.nodes.end()) return 0;
  const auto types = infer_types(graph);
  const Uses uses(graph);
  UnusedNames names(graph);
  std::map<std::pair<std::string, std::string>, std::string> made;  // weights, shape -> their name
  int places = 0;
  for (auto& node : graph.nodes) {
    if (node.type != "FC" || params_of<FC>(node).axis != 1 || params_of<FC>(node).axis_w != 1) continue;
    const std::string maps = flattened(graph, uses, node);
    const auto weights = weights_of_maps(graph, node, types.at(maps).shape);
    if (!weights) continue;
    auto& name = made[{node.inputs[1], to_string(weights->shape())}];  // one for all readers: it is packed once
    if (name.empty()) {
      name = names.make(node.inputs[1] + ".maps");
      graph.constants[name] = *weights;
    }
    node.inputs[0] = maps;
    node.inputs[1] = name;
    ++places;
  }
  if (places) remove_dead(graph);
  return places;
}

}  // namespace d2deploy
