// Convolutions without a bias get one of zeros, so that patterns and kernels know one form only.
#include <cstring>

#include "passes/pass.h"

namespace d2deploy {

namespace {

// Channels of the output, from the shape of the weights; kUnknown where they are no constant.
std::int64_t output_channels(const Graph& graph, const Node& node) {
  const auto weights = graph.constants.find(node.inputs[1]);
  if (weights == graph.constants.end() || weights->second.shape().rank() != 4) return kUnknown;
  if (node.type == "Conv") return weights->second.dim(0);
  const auto group = node.args.find("group");
  return weights->second.dim(1) * (group == node.args.end() ? 1 : std::get<std::int64_t>(group->second));
}

}  // namespace

int add_bias(Graph& graph, const Log&) {
  int places = 0;
  for (auto& node : graph.nodes) {
    if ((node.type != "Conv" && node.type != "ConvTranspose") || node.inputs.size() != 2) continue;
    const auto channels = output_channels(graph, node);
    if (channels == kUnknown) continue;
    Tensor zeros = Tensor::allocate(f32({channels}));
    std::memset(zeros.raw(), 0, static_cast<std::size_t>(zeros.bytes()));
    const auto name = unused_name(graph, node.outputs[0] + ".bias");
    graph.constants[name] = zeros;
    node.inputs.push_back(name);
    ++places;
  }
  return places;
}

}  // namespace d2deploy
