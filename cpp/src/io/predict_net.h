// A predict net -> nodes, as they stand in the file.
#pragma once
#include "graph/graph.h"
#include "io/model_file.h"
#include "io/net_index.h"

namespace d2deploy {

/// Returns: nodes, attributes, and as inputs and outputs all external ones; blobs may still be assigned several times.
/// Throws InvalidModel, with all faults at once; Unsupported for nets that are not run in order.
Graph read_predict_net(const NetIndex& net, const ReadOptions& options);

}  // namespace d2deploy
