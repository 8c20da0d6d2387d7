// Convolutions without a bias get one of zeros, so that patterns and kernels know one form only.
#include <cstring>

#include "passes/pass.h"

namespace d2deploy {

namespace {

// The place of the weights among the inputs of a convolution, with the bias behind them; 0 where it is none.
std::size_t weights_of(const Node& node) {
  if (node.type == "Conv" || node.type == "ConvTranspose") return 1;
  return node.type == "DeformConv" ? 2 : 0;
}

// Channels of the output, from the shape of the weights; kUnknown where they are not constant, or empty.
std::int64_t output_channels(const Graph& graph, const Node& node) {
  const auto weights = graph.constants.find(node.inputs[weights_of(node)]);
  if (weights == graph.constants.end()) return kUnknown;
  const Tensor& w = weights->second;
  if (w.shape().rank() != 4 || w.size() == 0) return kUnknown;
  if (node.type != "ConvTranspose") return w.dim(0);
  const auto group = node.args.find("group");
  return w.dim(1) * (group == node.args.end() ? 1 : std::get<std::int64_t>(group->second));
}

Tensor zeros(std::int64_t count) {
  Tensor tensor = Tensor::allocate(f32({count}));
  std::memset(tensor.raw(), 0, static_cast<std::size_t>(tensor.bytes()));
  return tensor;
}

}  // namespace

int add_bias(Graph& graph, const Log&) {
  UnusedNames names(graph);
  std::map<std::int64_t, std::string>
      biases;  // by channels: however many read one set of weights, memory stays bounded
  int places = 0;
  for (auto& node : graph.nodes) {
    const std::size_t weights = weights_of(node);
    if (weights == 0 || node.inputs.size() != weights + 1) continue;
    const auto channels = output_channels(graph, node);
    if (channels == kUnknown) continue;
    auto& name = biases[channels];
    if (name.empty()) {
      name = names.make(node.outputs[0] + ".bias");
      graph.constants[name] = zeros(channels);
    }
    node.inputs.push_back(name);
    ++places;
  }
  return places;
}

}  // namespace d2deploy
