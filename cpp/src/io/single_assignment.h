// From blobs, which may be written again and again, to values, which are assigned once.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "graph/graph.h"

namespace d2deploy {

using BlobSet = std::set<std::string, std::less<>>;

/// Renames the values of `graph`, whose inputs and nodes are still as in the file. Blobs of `constants` have a value
/// before the first node. Where a blob is assigned again its values are x, x.1, x.2 in this order, except that the last
/// one of an output is x.
/// Returns: the constants that are read, with the names of their values.
/// Throws InvalidModel, with all faults: a blob that is read but made later or never, an output that is never made, an
/// input that is overwritten and an output.
std::map<std::string, std::string> assign_once(Graph& graph, const BlobSet& constants);

}  // namespace d2deploy
