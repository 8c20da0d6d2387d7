// GenerateProposals on every level and CollectRpnProposals are one operator. It sees im_info, so it knows how many
// images share the limit of rows, and all that follows is planned for no more.
#include "operators/pyramid_proposals/pyramid_proposals.h"

#include <algorithm>

#include "passes/pass.h"

namespace d2deploy {

namespace {

// The nodes whose rois and scores are collected, in the order of levels; empty where anybody else reads them.
std::vector<const Node*> levels_of(const Graph& graph, const Uses& uses, const Node& collect) {
  std::vector<const Node*> nodes;
  const std::size_t levels = collect.inputs.size() / 2;
  for (std::size_t i = 0; i < levels; ++i) {
    const std::vector<std::string> wanted{collect.inputs[i], collect.inputs[levels + i]};
    const Node* node = sole_producer(graph, uses, wanted[0], "GenerateProposals");
    if (node == nullptr || node->outputs != wanted) return {};
    if (sole_producer(graph, uses, wanted[1], "GenerateProposals") == nullptr) return {};
    nodes.push_back(node);
  }
  return nodes;
}

bool alike(const Node& a, const Node& b) { return a.inputs[2] == b.inputs[2] && equal_but(a, b, "spatial_scale"); }

// The fused operator does not take rotated boxes, whose anchors have five columns.
bool upright(const TypeMap& types, const std::vector<const Node*>& levels) {
  return std::ranges::all_of(levels, [&](const Node* n) { return types.at(n->inputs[3]).shape[1] == 4; });
}

Node fuse(const Node& collect, const std::vector<const Node*>& levels) {
  Node fused{"PyramidProposals", levels[0]->args, {levels[0]->inputs[2]}, collect.outputs, collect.origin};
  for (const std::size_t port : {0, 1, 3})
    for (const Node* level : levels) fused.inputs.push_back(level->inputs[port]);
  Floats scales;
  for (const Node* level : levels) scales.push_back(params_of<GenerateProposals>(*level).spatial_scale);
  fused.args.erase("spatial_scale");
  fused.args.insert(collect.args.begin(), collect.args.end());
  fused.args["spatial_scales"] = scales;
  return fused;
}

}  // namespace

int fuse_pyramid_proposals(Graph& graph, const Log&) {
  if (std::ranges::find(graph.nodes, "CollectRpnProposals", &Node::type) == graph.nodes.end()) return 0;
  const Uses uses(graph);
  const TypeMap types = infer_types(graph);
  int places = 0;
  for (auto& node : graph.nodes) {
    if (node.type != "CollectRpnProposals") continue;
    const auto levels = levels_of(graph, uses, node);
    if (levels.empty() || !std::ranges::all_of(levels, [&](const Node* n) { return alike(*n, *levels[0]); }) ||
        !upright(types, levels))
      continue;
    node = fuse(node, levels);
    ++places;
  }
  if (places) remove_dead(graph);
  return places;
}

}  // namespace d2deploy
