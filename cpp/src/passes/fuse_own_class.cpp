// A convolution with a filter for each class, of whose results each row's own class alone is taken, computes that one.
#include "passes/one_cell_filters.h"

namespace d2deploy {

int fuse_own_class(Graph& graph, const Log&) {
  const Uses uses(graph);
  int places = 0;
  for (Node& node : graph.nodes) {
    if (node.type != "OwnClass") continue;
    const Node* conv = sole_producer(graph, uses, node.inputs[0], "Conv");
    if (conv == nullptr || one_cell_filters(graph, *conv) == 0) continue;
    node.type = "OwnClassConv";
    node.inputs = {conv->inputs[0], node.inputs[1], conv->inputs[1], conv->inputs[2]};
    ++places;
  }
  if (places > 0) remove_dead(graph);
  return places;
}

}  // namespace d2deploy
