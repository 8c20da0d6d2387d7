#include "graph/fingerprint.h"

#include "core/checksum.h"

namespace d2deploy {

std::uint64_t fingerprint(const Graph& graph) {
  Checksum sum;
  for (const auto& node : graph.nodes) sum.add(to_text(node));
  for (const auto& name : graph.outputs) sum.add(name);
  for (const auto& [name, tensor] : graph.constants) {
    sum.add(name);
    sum.add(to_string(tensor.shape()));
    sum.add(tensor.raw(), static_cast<std::size_t>(tensor.bytes()));
  }
  return sum.result();
}

}  // namespace d2deploy
