// Feature maps are kept channels-last from the first operator that can take them so to the last. Reorder nodes stand
// only where a row-major tensor comes in, where an operator needs one, and before outputs of the net.
#include <algorithm>
#include <map>
#include <set>

#include "kernels/reorder.h"
#include "passes/pass.h"

namespace d2deploy {

namespace {

class LayoutAssigner {
 public:
  explicit LayoutAssigner(Graph& graph)
      : graph_(graph),
        names_(graph),
        uses_(graph),
        outputs_(graph.outputs.begin(), graph.outputs.end()),
        types_(given_types(graph)) {
    for (const auto& [name, tensor] : graph.constants) ++names_of_memory_[tensor.raw()];
  }

  int run() {
    for (auto& node : graph_.nodes) {
      choose_layouts(node);
      infer_node(graph_, node, types_);
      nodes_.push_back(std::move(node));
      const std::size_t maker = nodes_.size() - 1;
      for (std::size_t i = 0; i < nodes_[maker].outputs.size(); ++i) restore_output(maker, i);
    }
    graph_.nodes = std::move(nodes_);
    return places_;
  }

 private:
  void choose_layouts(Node& node) {
    const Operator& op = *find_operator(node.type);
    if (op.layout == LayoutRule::own) return;
    const Layout layout = wanted(op, node);
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      if (must_follow(op, node, i)) node.inputs[i] = in(layout, node.inputs[i]);
  }

  bool is_map(const std::string& value) const { return types_.at(value).shape.rank() == 4; }

  // Constants take the layout that the others have.
  Layout wanted(const Operator& op, const Node& node) const {
    const bool asks = op.layout == LayoutRule::any || op.layout == LayoutRule::same;
    const bool any = std::ranges::any_of(node.inputs, [&](const std::string& x) {
      return is_map(x) && !graph_.constants.contains(x) && (asks || types_.at(x).layout == Layout::channels_last);
    });
    return op.layout != LayoutRule::row_major && any ? Layout::channels_last : Layout::row_major;
  }

  // Weights of convolutions, their second input, stay as they are: kernels pack them in a layout of their own.
  bool must_follow(const Operator& op, const Node& node, std::size_t i) const {
    const bool weights = i == 1 && graph_.constants.contains(node.inputs[i]) && op.layout == LayoutRule::any;
    return is_map(node.inputs[i]) && !weights;
  }

  std::string in(Layout layout, const std::string& value) {
    if (types_.at(value).layout == layout) return value;
    const auto key = std::pair{value, layout};
    if (const auto it = copies_.find(key); it != copies_.end()) return it->second;
    const auto name = names_.make(value + (layout == Layout::channels_last ? ".channels_last" : ".row_major"));
    if (graph_.constants.contains(value)) {
      reorder_constant(value, layout, name);
    } else {
      nodes_.push_back(Node{"Reorder", {{"to", std::string(d2deploy::name(layout))}}, {value}, {name}});
      ++places_;
    }
    types_[name] = types_.at(value);
    types_[name].layout = layout;
    return copies_[key] = name;
  }

  // In its memory, where nothing else needs it: weights of FC are large.
  void reorder_constant(const std::string& value, Layout layout, const std::string& name) {
    Tensor constant = graph_.constants.at(value);
    const bool alone = uses_.readers(value).size() == 1 && !uses_.is_output(value);
    if (alone && names_of_memory_.at(constant.raw()) == 1) {
      graph_.constants.erase(value);
      reorder_in_place(constant, layout);
      graph_.constants[name] = constant;
    } else {
      graph_.constants[name] = reordered(constant, layout);
    }
  }

  // An output of the net that came out channels-last: its maker writes another name, a Reorder the output.
  void restore_output(std::size_t maker, std::size_t index) {
    const std::string value = nodes_[maker].outputs[index];
    if (types_.at(value).layout == Layout::row_major || !outputs_.contains(value)) return;
    const auto name = names_.make(value + ".channels_last");
    nodes_[maker].outputs[index] = name;
    types_[name] = types_.at(value);
    nodes_.push_back(Node{"Reorder", {{"to", std::string("row_major")}}, {name}, {value}});
    types_[value].layout = Layout::row_major;
    copies_[{value, Layout::channels_last}] = name;
    ++places_;
  }

  Graph& graph_;
  UnusedNames names_;
  const Uses uses_;
  const std::set<std::string> outputs_;
  TypeMap types_;
  std::map<const void*, int> names_of_memory_;  // how many constants lie there
  std::vector<Node> nodes_;
  std::map<std::pair<std::string, Layout>, std::string> copies_;
  int places_ = 0;
};

// A Reorder of what a Reorder alone made is one: layout and element type change in one step.
int merge_reorders(Graph& graph) {
  const Uses uses(graph);
  int places = 0;
  for (auto& node : graph.nodes) {
    if (node.type != "Reorder") continue;
    const Node* first = sole_producer(graph, uses, node.inputs[0], "Reorder");
    if (first == nullptr) continue;
    Args args = node.args;  // the later one decides
    args.insert(first->args.begin(), first->args.end());
    node.args = args;
    node.inputs = first->inputs;
    ++places;
  }
  return places;
}

}  // namespace

int channels_last(Graph& graph, const Log&) {
  const int places = LayoutAssigner(graph).run() + merge_reorders(graph);
  remove_dead(graph);
  return places;
}

}  // namespace d2deploy
