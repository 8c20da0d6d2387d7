// A pass written as two pictures of the graph, in the graph's own text form.
//   x, y, z   values        {*}  any arguments, carried over
// Every node has one output.
// A value inside the picture must have no other reader and not be an output of the graph: the engine sees to that.
#pragma once
#include "passes/pass.h"

namespace d2deploy {

struct Rewrite {
  std::string name, before, after;
};

/// Rewrites every place that matches and whose new nodes fit the types found there, also those that only come about
/// by that. Returns their number.
int apply(const Rewrite& rewrite, Graph& graph);

/// "Y = ConvRelu(X, W, b)": a call with the names of the operator's signature, of its first `inputs`.
std::string call_text(const Operator& op, std::size_t inputs);

/// The passes that fuse what a fused operator states as its meaning, the largest pictures first.
std::vector<Pass> fusion_passes();

/// The plain nodes that a fused node stands for; empty where it is plain. Values between them get unused `names`.
std::vector<Node> expand(const Node& node, UnusedNames& names);

}  // namespace d2deploy
