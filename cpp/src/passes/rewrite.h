// A pass written as two pictures of the graph, in the graph's own text form.
//   x, y, z   values        #w  a value that must be constant        {*}  any arguments, carried over
// A value inside the picture must have no other reader and be no output of the graph: the engine sees to that.
#pragma once
#include "passes/pass.h"

namespace d2deploy {

struct Match {
  std::map<std::string, std::string> values;  ///< picture name -> graph name
  std::map<std::string, Tensor> constants;    ///< picture name -> data; `compute` adds the new ones
  Args carried;                               ///< the arguments behind {*}
};

struct Rewrite {
  std::string name, before, after;
  std::function<bool(Match&)> compute = nullptr;  ///< makes new constants; false: leave this place alone
};

/// Rewrites every place that matches and whose new nodes fit the types found there. Returns their number.
int apply(const Rewrite& rewrite, Graph& graph);

Pass to_pass(Rewrite rewrite);

/// "Y = ConvRelu(X, W, b)": a call with the names of the operator's signature.
std::string call_text(const Operator& op);

/// The passes that fuse what a fused operator states as its meaning, the largest pictures first.
std::vector<Pass> fusion_passes();

/// The plain nodes that a fused node stands for; empty where it is plain. Values between them get unused `names`.
std::vector<Node> expand(const Node& node, UnusedNames& names);

}  // namespace d2deploy
