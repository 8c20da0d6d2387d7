// Nets from choices: random graphs of the operators that there are, by their signatures.
#pragma once
#include "draw.h"
#include "graph/graph.h"

namespace d2deploy::fuzz {

/// A net that `verify` takes and whose types mostly fit: up to thousands of nodes in chains and stars, nodes of up to a
/// hundred inputs, sizes from 0 to beyond 2^31. Only its constants have memory, and little.
Graph generate_net(Choices& choices);

}  // namespace d2deploy::fuzz
