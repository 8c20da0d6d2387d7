// A picture has its mean subtracted, is divided by its deviation, put channels-last, and maybe reduced: one step, which
// reads and writes it once.
#include "operators/normalise_image/normalise_image.h"

#include "operators/binary.h"
#include "passes/pass.h"

namespace d2deploy {

namespace {

// Of how many channels the node's second input is a constant with a number for each; -1: it is something else.
std::int64_t channels_of(const Graph& graph, const Node& node) {
  const auto constant = graph.constants.find(node.inputs[1]);
  if (constant == graph.constants.end() || constant->second.shape().rank() != 3 || !node.args.empty()) return -1;
  const std::int64_t channels = constant->second.dim(0);
  return constant->second.type() == f32({channels, 1, 1}) ? channels : -1;
}

}  // namespace

int normalise_image(Graph& graph, const Log&) {
  const Uses uses(graph);
  TypeMap types;
  int places = 0;
  for (auto& node : graph.nodes) {
    if (node.type != "Reorder") continue;
    const Node* div = sole_producer(graph, uses, node.inputs[0], "Div");
    const Node* sub = div == nullptr ? nullptr : sole_producer(graph, uses, div->inputs[0], "Sub");
    if (sub == nullptr) continue;
    if (types.empty()) types = infer_types(graph);
    const TensorType &x = types.at(sub->inputs[0]), &y = types.at(node.outputs[0]);
    if (x.dtype != DType::float32 || x.layout != Layout::row_major || x.shape.rank() != 4 || !is_real(y.dtype) ||
        y.layout != Layout::channels_last)
      continue;
    // Files do not say how many channels a picture has. One with another number has the plain operators in its plan.
    const std::int64_t channels = channels_of(graph, *sub);
    if (channels < 0 || channels_of(graph, *div) != channels || (x.shape[1] != kUnknown && x.shape[1] != channels))
      continue;
    node = Node{"NormaliseImage",
                {{"dtype", std::string(name(y.dtype))}},
                {sub->inputs[0], sub->inputs[1], div->inputs[1]},
                node.outputs,
                node.origin};
    ++places;
  }
  if (places) remove_dead(graph);
  return places;
}

}  // namespace d2deploy
