#include "passes/heavy_readers.h"

#include <algorithm>

namespace d2deploy {

std::vector<bool> may_reduce(const Operator& op, const std::vector<Port>& ports, std::size_t count) {
  std::vector<bool> may;
  for (const Port* port : ports_of(ports, count)) {
    const bool handed_on = op.is(view) && may.empty(), joined = op.type == "Concat" && (port->repeated || may.empty());
    may.push_back(port->real || handed_on || joined);
  }
  return may;
}

std::set<std::string> read_by_heavy(const Graph& graph) {
  std::set<std::string> values;
  for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node) {
    const Operator& op = *find_operator(node->type);
    const bool read = std::ranges::any_of(node->outputs, [&](const auto& y) { return values.contains(y); });
    if (!op.is(heavy) && !read) continue;
    const auto may = may_reduce_inputs(op, *node);
    for (std::size_t i = 0; i < node->inputs.size(); ++i)
      if (is_reorder(*node) || may[i]) values.insert(node->inputs[i]);
  }
  return values;
}

}  // namespace d2deploy
