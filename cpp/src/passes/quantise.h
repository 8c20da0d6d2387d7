// Which layers of a net can run in int8, and what of their values must be known for that.
#pragma once
#include <set>
#include <span>
#include <string>
#include <vector>

#include "graph/calibration.h"
#include "graph/graph.h"
#include "passes/pass.h"

namespace d2deploy {

struct Quantisable {
  std::set<std::string>
      layers;  ///< outputs of heavy nodes that are neither the first of the net nor the last of a head
  std::set<std::string> values;  ///< what heavy nodes read, directly or through light ones: their ranges are needed
};
/// Of a graph before or after the choice of layouts; its constants may be elsewhere.
Quantisable find_quantisable(const Graph& graph);

/// Whether it is a heavy operator whose output may be quantised, as its arguments y_dtype and y_scale say.
bool can_quantise(const Operator& op);
/// The dimension of a heavy operator's weights that its output channels stand in.
std::size_t output_channels_axis(const Operator& op);

/// The element type of a value of this range: unsigned where nothing in it is negative. A scale of 0: none, since all
/// of it is 0, or beyond what can be computed with.
TensorType quantised_type(const Range& range);

/// The plain operators that a fused node stands for, in float32, between Reorder nodes where its inputs (of these
/// types) or its output are quantised. Empty: it is a plain one.
std::vector<Node> expand_quantised(const Node& node, std::span<const TensorType> inputs, UnusedNames& names);

/// Lets heavy nodes run in int8, with weights rounded to 8 bits per output channel; nodes between them that keep their
/// range pass the numbers on, all others stay float32, and Reorder nodes stand where the type changes. Returns how many
/// heavy nodes got it. Weights that nothing else reads are rounded in their memory, which must be the graph's own.
/// Throws InvalidModel where `calibration` has not a single value of the net.
int quantise(Graph& graph, const Calibration& calibration, const Log& log);

}  // namespace d2deploy
