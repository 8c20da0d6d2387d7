// Last layers of heads, which compute each of their outputs' channels from the channels of one cell.
#pragma once
#include "passes/pass.h"

namespace d2deploy {

/// Of a convolution with a bias and constant filters that see one cell after the other, how many filters it has; of any
/// other one 0.
std::int64_t one_cell_filters(const Graph& graph, const Node& conv);

}  // namespace d2deploy
