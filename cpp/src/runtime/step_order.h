// In which order a plan's steps need less memory at once.
#pragma once
#include <vector>

#include "runtime/plan.h"

namespace d2deploy {

/// The steps of a plan whose memory is not shared yet, as indices in the order in which they should run. Steps that
/// free more than they take run as soon as they can: each level's last layer when its map is there, not after the maps
/// of all levels. Then others wait until what they make is read, unless what they read is larger and would have to be
/// kept for them. A plan with a step that is late in the plan's sense stays as it is.
std::vector<std::size_t> order_for_memory(const Plan& plan);

}  // namespace d2deploy
