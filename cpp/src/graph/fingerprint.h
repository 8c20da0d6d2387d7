// A number that says which net it is.
#pragma once
#include <cstdint>

#include "graph/graph.h"

namespace d2deploy {

/// Of nodes, names and the values of all constants: other weights give another number. Not for secrets: whoever wants
/// can make two nets with one number.
std::uint64_t fingerprint(const Graph& graph);

}  // namespace d2deploy
