// Nets for one image, made right for several: the boxes that BoxWithNMSLimit keeps lose their image number, so what is
// pooled for them would come from image 0. Its batch_splits give the number back, and tell the rows of the outputs
// apart.
#include <algorithm>

#include "passes/pass.h"

namespace d2deploy {

namespace {

constexpr std::size_t kBoxes = 1, kSplits = 3;

bool pools_boxes(const Node& node) { return node.type == "RoIAlign" || node.type == "DistributeFpnProposals"; }

// Makes the node's batch_splits an output of the net. Outputs are positional: those up to there are added.
// Returns whether it was none before.
bool publish_splits(Graph& graph, Node& node) {
  while (node.outputs.size() <= kSplits) node.outputs.push_back(unused_name(graph, node.outputs[0] + ".batch_splits"));
  const std::string& splits = node.outputs[kSplits];
  graph.attributes["batch_splits_output"] = splits;
  if (std::ranges::find(graph.outputs, splits) != graph.outputs.end()) return false;
  graph.outputs.push_back(splits);
  return true;
}

}  // namespace

int separate_images(Graph& graph, const Log&) {
  int places = 0;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].type != "BoxWithNMSLimit" || graph.nodes[i].outputs.size() <= kBoxes ||
        graph.nodes[i].inputs.size() < 3)
      continue;
    const std::string boxes = graph.nodes[i].outputs[kBoxes];
    std::vector<std::pair<std::size_t, std::size_t>> readings;  // node, input
    for (std::size_t n = i + 1; n < graph.nodes.size(); ++n)
      for (std::size_t k = 0; pools_boxes(graph.nodes[n]) && k < graph.nodes[n].inputs.size(); ++k)
        if (graph.nodes[n].inputs[k] == boxes) readings.emplace_back(n, k);
    if (publish_splits(graph, graph.nodes[i])) ++places;
    const std::string splits = graph.nodes[i].outputs[kSplits];
    if (readings.empty()) continue;
    const std::string rois = unused_name(graph, boxes + ".rois");
    for (const auto& [n, k] : readings) graph.nodes[n].inputs[k] = rois;
    graph.nodes.insert(graph.nodes.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                       Node{"BatchBoxes", {}, {boxes, splits}, {rois}, graph.nodes[i].origin});
    ++places;
  }
  return places;
}

}  // namespace d2deploy
