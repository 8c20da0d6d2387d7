// Copies between devices, aliases, and concatenations of one tensor change nothing: the device is the caller's choice.
#include <algorithm>

#include "passes/pass.h"

namespace d2deploy {

namespace {

bool is_copy(const Node& node, const Uses& uses) {
  if (node.inputs.size() != 1 || node.outputs.empty()) return false;  // types are not checked yet
  if (node.type == "Copy") return true;
  const bool sizes_unread =
      node.outputs.size() < 2 || (uses.readers(node.outputs[1]).empty() && !uses.is_output(node.outputs[1]));
  return node.type == "Concat" && sizes_unread;
}

// The output must keep its name, so the value that is copied takes it, where it has no name to keep itself.
void rename(Graph& graph, const std::string& from, const std::string& to) {
  replace_uses(graph, from, to);
  for (auto& node : graph.nodes) std::ranges::replace(node.outputs, from, to);
}

}  // namespace

int drop_copies(Graph& graph, const Log&) {
  int places = 0;
  for (std::size_t i = 0; i < graph.nodes.size();) {
    const Uses uses(graph);
    const Node node = graph.nodes[i];
    // An output stays where its source has a name to keep itself: as an input, a constant, or another output.
    const bool must_stay =
        !is_copy(node, uses) ||
        (uses.is_output(node.outputs[0]) && (uses.producer(node.inputs[0]) < 0 || uses.is_output(node.inputs[0])));
    if (must_stay) {
      ++i;
      continue;
    }
    graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(i));
    if (uses.is_output(node.outputs[0]))
      rename(graph, node.inputs[0], node.outputs[0]);
    else
      replace_uses(graph, node.outputs[0], node.inputs[0]);
    ++places;
  }
  return places;
}

}  // namespace d2deploy
