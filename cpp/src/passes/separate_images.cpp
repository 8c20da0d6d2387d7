// Nets for one image, made right for several: the boxes that BoxWithNMSLimit keeps lose their image number, so what is
// pooled for them would come from image 0. Its batch_splits give the number back, and tell the rows of the outputs
// apart.
#include <algorithm>

#include "passes/pass.h"

namespace d2deploy {

namespace {

constexpr std::size_t kBoxes = 1, kSplits = 3;

bool pools_boxes(const Node& node) {
  return node.type == "RoIAlign" || node.type == "DistributeFpnProposals" || node.type == "PointSample";
}

// Makes the node's batch_splits an output of the net. Outputs are positional: those up to there are added.
// Returns whether it was none before.
bool publish_splits(Graph& graph, const Uses& uses, UnusedNames& names, Node& node) {
  while (node.outputs.size() <= kSplits) node.outputs.push_back(names.make(node.outputs[0] + ".batch_splits"));
  const std::string& splits = node.outputs[kSplits];
  graph.attributes["batch_splits_output"] = splits;
  if (uses.is_output(splits)) return false;
  graph.outputs.push_back(splits);
  return true;
}

bool keeps_boxes_of_images(const Node& node) {
  return node.type == "BoxWithNMSLimit" && node.outputs.size() > kBoxes && node.inputs.size() >= 3;
}

}  // namespace

int separate_images(Graph& graph, const Log&) {
  const Uses uses(graph);
  UnusedNames names(graph);
  std::map<std::string, std::string> rois;  // boxes -> the same with their image number
  std::vector<Node> nodes;
  int places = 0;
  for (auto& node : graph.nodes) {
    if (pools_boxes(node))
      for (auto& x : node.inputs)
        if (const auto it = rois.find(x); it != rois.end()) x = it->second;
    nodes.push_back(std::move(node));
    if (!keeps_boxes_of_images(nodes.back())) continue;
    Node& keeper = nodes.back();
    if (publish_splits(graph, uses, names, keeper)) ++places;
    const std::string& boxes = keeper.outputs[kBoxes];
    // Readers stand behind: none of them has been moved yet.
    if (std::ranges::none_of(uses.readers(boxes), [&](std::size_t n) { return pools_boxes(graph.nodes[n]); })) continue;
    rois[boxes] = names.make(boxes + ".rois");
    nodes.push_back(Node{"BatchBoxes", {}, {boxes, keeper.outputs[kSplits]}, {rois[boxes]}, keeper.origin});
    ++places;
  }
  graph.nodes = std::move(nodes);
  return places;
}

}  // namespace d2deploy
