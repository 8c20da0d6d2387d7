// Nodes whose inputs are all constants, or that have none, are run once, here. So is Shape of a value whose shape is
// known.
#include <algorithm>
#include <optional>
#include <set>

#include "operators/evaluate.h"
#include "passes/pass.h"

namespace d2deploy {

namespace {

// What is larger than this is cheaper to compute than to keep; so are results beyond the second bound together, and
// floating point operations beyond the third. No net comes near, but a file can ask for them with a few bytes a node.
constexpr std::int64_t kMostElements = 1 << 20, kMostTogether = 1 << 26;
constexpr double kMostFlops = 1 << 30;

bool small(const TensorType& type) { return type.shape.known() && type.shape.size() <= kMostElements; }

// Whether what a call costs can be told from its types. Nets leave no other operators behind that could be folded.
bool has_known_cost(const Operator& op) {
  const bool window = op.layout == LayoutRule::any;  // each element may look at all others
  return !window && !op.is(data_dependent);
}

class Folder {
 public:
  explicit Folder(Graph& graph)
      : graph_(graph), outputs_(graph.outputs.begin(), graph.outputs.end()), types_(given_types(graph)) {}

  int run() {
    std::vector<Node> kept;
    for (auto& node : graph_.nodes) {
      infer_node(graph_, node, types_);
      if (const auto results = with_context([&] { return describe(node); }, [&] { return folded(node); })) {
        for (std::size_t i = 0; i < node.outputs.size(); ++i) graph_.constants[node.outputs[i]] = (*results)[i];
        continue;
      }
      if (find_operator(node.type)->is(data_dependent) ||
          std::ranges::any_of(node.inputs, [&](const std::string& x) { return varying_.contains(x); }))
        varying_.insert(node.outputs.begin(), node.outputs.end());
      kept.push_back(std::move(node));
    }
    const auto places = static_cast<int>(graph_.nodes.size() - kept.size());
    graph_.nodes = std::move(kept);
    if (places != 0) remove_dead(graph_);
    return places;
  }

 private:
  std::optional<std::vector<Tensor>> folded(const Node& node) {
    if (std::ranges::any_of(node.outputs, [&](const std::string& y) { return outputs_.contains(y); }))
      return std::nullopt;
    auto shape = fixed_shape(node);
    return shape ? std::move(shape) : evaluated(node);
  }

  // The result of a Shape node, where it does not depend on the run.
  std::optional<std::vector<Tensor>> fixed_shape(const Node& node) const {
    if (node.type != "Shape" || varying_.contains(node.inputs[0])) return std::nullopt;
    const TensorType& x = types_.at(node.inputs[0]);
    if (!x.shape.known()) return std::nullopt;
    return evaluate(*find_operator("Shape"), node.args, {Tensor::view(x, nullptr)});  // it reads no element
  }

  // Runs the node where its inputs are constants and nothing is large; nothing where that is not so.
  std::optional<std::vector<Tensor>> evaluated(const Node& node) {
    const Operator& op = *find_operator(node.type);
    if (!has_known_cost(op)) return std::nullopt;
    std::vector<Tensor> inputs;
    Types in, out;
    for (const auto& x : node.inputs) {
      const auto it = graph_.constants.find(x);
      if (it == graph_.constants.end() || !small(it->second.type())) return std::nullopt;
      inputs.push_back(it->second);
      in.push_back(it->second.type());
    }
    // Asked before there is memory for it: a shape may be any number in the file.
    std::int64_t elements = 0;
    for (const auto& y : node.outputs) {
      out.push_back(types_.at(y));
      if (!small(out.back())) return std::nullopt;
      elements += out.back().shape.size();
    }
    const double flops = op.flops(op.parse(node.args), {in, {}}, out);
    if (elements > elements_left_ || flops > flops_left_) return std::nullopt;
    elements_left_ -= elements;
    flops_left_ -= flops;
    return evaluate(op, node.args, inputs);
  }

  Graph& graph_;
  const std::set<std::string> outputs_;
  TypeMap types_;                  // of all values so far: a shape that becomes constant may make others known
  std::set<std::string> varying_;  // values whose shape is not the same in every run; it is the most there may be
  std::int64_t elements_left_ = kMostTogether;
  double flops_left_ = kMostFlops;
};

}  // namespace

int fold_constants(Graph& graph, const Log&) { return Folder(graph).run(); }

}  // namespace d2deploy
