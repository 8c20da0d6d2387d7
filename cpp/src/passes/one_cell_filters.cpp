#include "passes/one_cell_filters.h"

#include "operators/conv/conv.h"

namespace d2deploy {

std::int64_t one_cell_filters(const Graph& graph, const Node& conv) {
  if (conv.inputs.size() != 3) return 0;
  const auto weights = graph.constants.find(conv.inputs[1]);
  if (weights == graph.constants.end() || weights->second.shape().size(2, 4) != 1) return 0;
  const auto params = params_of<Conv>(conv);
  const Window at = resolve("Conv", params, 1, 1);
  const bool plain = params.group == 1 && at.stride_h == 1 && at.stride_w == 1 && at.pad_t == 0 && at.pad_l == 0 &&
                     at.pad_b == 0 && at.pad_r == 0;
  return plain ? weights->second.dim(0) : 0;
}

}  // namespace d2deploy
