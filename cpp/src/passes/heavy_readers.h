// What the choice of a smaller type for heavy nodes goes by, whichever type it is.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "operators/operator.h"

namespace d2deploy {

inline bool is_reorder(const Node& node) { return node.type == "Reorder"; }

/// Of `count` inputs or outputs, whether numbers of a smaller type may stand there: at `real` ports, where a view hands
/// its memory on, and where an operator joins its inputs.
std::vector<bool> may_reduce(const Operator& op, const std::vector<Port>& ports, std::size_t count);
inline std::vector<bool> may_reduce_inputs(const Operator& op, const Node& node) {
  return may_reduce(op, op.inputs, node.inputs.size());
}
/// The values that heavy nodes read, directly or through light ones.
std::set<std::string> read_by_heavy(const Graph& graph);

}  // namespace d2deploy
