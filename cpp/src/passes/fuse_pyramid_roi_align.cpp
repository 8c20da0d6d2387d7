// DistributeFpnProposals, one RoIAlign per level, Concat and BatchPermutation are one operator: pooling from the level
// that fits each region, in the order of the regions.
#include <algorithm>

#include "operators/concat/concat.h"
#include "operators/roi_align/roi_align.h"
#include "passes/pass.h"

namespace d2deploy {

namespace {

std::vector<const Node*> poolings(const Graph& graph, const Uses& uses, const Node& concat) {
  std::vector<const Node*> nodes;
  for (const auto& x : concat.inputs) {
    const Node* pool = sole_producer(graph, uses, x, "RoIAlign");
    if (pool == nullptr) return {};
    nodes.push_back(pool);
  }
  return nodes;
}

// The DistributeFpnProposals whose levels the poolings read in order and whose last output is `restore`.
const Node* common_distribution(const Graph& graph, const Uses& uses, const std::vector<const Node*>& pools,
                                const std::string& restore) {
  const Node* distribute = sole_producer(graph, uses, restore, "DistributeFpnProposals");
  if (distribute == nullptr || distribute->outputs.size() != pools.size() + 1 || distribute->outputs.back() != restore)
    return nullptr;
  for (std::size_t i = 0; i < pools.size(); ++i)
    if (pools[i]->inputs[1] != distribute->outputs[i] ||
        sole_producer(graph, uses, distribute->outputs[i], "DistributeFpnProposals") == nullptr)
      return nullptr;
  return distribute;
}

Node fuse(const Node& permutation, const Node& distribute, const std::vector<const Node*>& pools) {
  Node fused{"PyramidRoIAlign", distribute.args, {distribute.inputs[0]}, permutation.outputs, permutation.origin};
  Floats scales;
  for (const Node* pool : pools) {
    fused.inputs.push_back(pool->inputs[0]);
    scales.push_back(params_of<RoIAlign>(*pool).spatial_scale);
  }
  fused.args.insert(pools[0]->args.begin(), pools[0]->args.end());
  fused.args.erase("spatial_scale");
  fused.args["spatial_scales"] = scales;
  return fused;
}

}  // namespace

int fuse_pyramid_roi_align(Graph& graph, const Log&) {
  const Uses uses(graph);
  int places = 0;
  for (auto& node : graph.nodes) {
    if (node.type != "BatchPermutation") continue;
    const Node* concat = sole_producer(graph, uses, node.inputs[0], "Concat");
    if (concat == nullptr || params_of<Concat>(*concat).axis != 0) continue;
    const auto pools = poolings(graph, uses, *concat);
    if (pools.empty() ||
        !std::ranges::all_of(pools, [&](const Node* p) { return equal_but(*p, *pools[0], "spatial_scale"); }))
      continue;
    const Node* distribute = common_distribution(graph, uses, pools, node.inputs[1]);
    if (distribute == nullptr) continue;
    node = fuse(node, *distribute, pools);
    ++places;
  }
  if (places) remove_dead(graph);
  return places;
}

}  // namespace d2deploy
