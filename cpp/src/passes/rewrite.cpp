#include "passes/rewrite.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace d2deploy {

namespace {

// A graph that changes while it is searched. Nodes are known by numbers that never change; the first ones are their
// places in the graph.
class LiveGraph {
 public:
  explicit LiveGraph(Graph& graph) : graph_(graph), nodes_(std::exchange(graph.nodes, {})) {
    for (std::size_t n = 0; n < nodes_.size(); ++n) {
      after_.push_back(n + 1 < nodes_.size() ? n + 1 : kEnd);
      connect(n);
    }
    gone_.resize(nodes_.size());
    for (const auto& y : graph.outputs) values_[y].output = true;
  }

  const Node& node(std::size_t n) const { return nodes_[n]; }
  std::size_t size() const { return nodes_.size(); }
  bool is_gone(std::size_t n) const { return gone_[n]; }

  /// The node that makes the value; nothing for inputs and constants.
  std::optional<std::size_t> maker(const std::string& value) const {
    const auto it = values_.find(value);
    return it == values_.end() ? std::nullopt : it->second.maker;
  }
  /// The node that reads it; nothing where there are more readings, or none, or it is an output.
  std::optional<std::size_t> sole_reader(const std::string& value) const {
    const auto it = values_.find(value);
    if (it == values_.end() || it->second.output || it->second.readers.size() != 1) return std::nullopt;
    return *it->second.readers.begin();
  }

  /// Puts `made` in the place of `last`, the last of the nodes in `old`, which all go. Returns their numbers.
  std::vector<std::size_t> replace(const std::vector<std::size_t>& old, std::size_t last, std::vector<Node> made) {
    for (const auto n : old) {
      disconnect(n);
      gone_[n] = true;
    }
    std::vector<std::size_t> numbers;
    std::size_t before = last;
    for (auto& node : made) {
      const std::size_t n = nodes_.size();
      nodes_.push_back(std::move(node));
      gone_.push_back(false);
      after_.push_back(after_[before]);
      after_[before] = n;
      before = n;
      connect(n);
      numbers.push_back(n);
    }
    return numbers;
  }

  TypeMap infer_types() const {
    TypeMap types = given_types(graph_);
    in_order([&](std::size_t n) { infer_node(graph_, nodes_[n], types); });
    return types;
  }

  /// Gives the nodes back to the graph.
  void finish() {
    in_order([&](std::size_t n) { graph_.nodes.push_back(std::move(nodes_[n])); });
  }

 private:
  static constexpr auto kEnd = static_cast<std::size_t>(-1);

  struct Value {
    std::optional<std::size_t> maker;
    std::multiset<std::size_t> readers;  // one entry per reading
    bool output = false;
  };

  void connect(std::size_t n) {
    for (const auto& x : nodes_[n].inputs) values_[x].readers.insert(n);
    for (const auto& y : nodes_[n].outputs) values_[y].maker = n;
  }
  void disconnect(std::size_t n) {
    for (const auto& x : nodes_[n].inputs) {
      auto& readers = values_[x].readers;
      readers.erase(readers.find(n));
    }
    for (const auto& y : nodes_[n].outputs) values_[y].maker.reset();
  }

  // Nodes that are gone still lead to what came into their place.
  template <class F>
  void in_order(const F& f) const {
    for (std::size_t n = nodes_.empty() ? kEnd : 0; n != kEnd; n = after_[n])
      if (!gone_[n]) f(n);
  }

  Graph& graph_;
  std::vector<Node> nodes_;
  std::vector<std::size_t> after_;  // the node that comes next
  std::vector<bool> gone_;
  std::map<std::string, Value> values_;
};

// One try to find the picture with its last node at a given node of the graph.
class Attempt {
 public:
  Attempt(const LiveGraph& graph, const Graph& picture, const Uses& picture_uses)
      : graph_(graph), picture_(picture), picture_uses_(picture_uses) {}

  bool at(std::size_t n) { return node(picture_.nodes.size() - 1, n); }

  struct Match {
    std::map<std::string, std::string> values;  // picture name -> graph name
    Args carried;                               // the arguments behind {*}
    std::vector<std::size_t> nodes;
  };
  Match match;

 private:
  bool bind(const std::string& name, const std::string& value) {
    const auto [it, fresh] = match.values.emplace(name, value);
    return fresh || it->second == value;
  }

  bool node(std::size_t p, std::size_t n) {
    const Node &want = picture_.nodes[p], &have = graph_.node(n);
    if (want.type != have.type || want.inputs.size() != have.inputs.size() ||
        want.outputs.size() != have.outputs.size())
      return false;
    if (want.args.contains("*")) {
      match.carried = have.args;
    } else if (want.args != have.args) {
      return false;
    }
    match.nodes.push_back(n);
    for (std::size_t i = 0; i < want.outputs.size(); ++i)
      if (!bind(want.outputs[i], have.outputs[i])) return false;
    if (inputs(want, have.inputs)) return true;
    const Operator* op = find_operator(have.type);
    return op->is(commutative) && have.inputs.size() == 2 && inputs(want, {have.inputs[1], have.inputs[0]});
  }

  bool inputs(const Node& want, const std::vector<std::string>& values) {
    const Match before = match;
    for (std::size_t i = 0; i < want.inputs.size(); ++i)
      if (!input(want.inputs[i], values[i])) {
        match = before;
        return false;
      }
    return true;
  }

  bool input(const std::string& name, const std::string& value) {
    const auto wanted = picture_uses_.producer(name);
    if (wanted < 0) return bind(name, value);
    const auto maker = graph_.maker(value);
    return maker && graph_.sole_reader(value) && node(static_cast<std::size_t>(wanted), *maker);
  }

  const LiveGraph& graph_;
  const Graph& picture_;
  const Uses& picture_uses_;
};

// The nodes of the picture `after` with the names of the match.
std::vector<Node> instantiate(const Graph& after, const Attempt::Match& match, std::int64_t origin) {
  std::vector<Node> made;
  for (Node n : after.nodes) {
    if (n.args.erase("*")) n.args.insert(match.carried.begin(), match.carried.end());
    for (auto* names : {&n.outputs, &n.inputs})
      for (auto& name : *names) name = match.values.at(name);
    n.origin = origin;
    made.push_back(std::move(n));
  }
  return made;
}

// Whether the new nodes take the inputs found there and give the types that were there.
bool fits(const std::vector<Node>& nodes, const TypeMap& types) {
  for (const auto& n : nodes) {
    Types in;
    for (const auto& x : n.inputs) in.push_back(types.at(x));
    try {
      const Operator* op = find_operator(n.type);
      const auto out = infer(*op, op->parse(n.args), {in, {}}, n.outputs.size());
      for (std::size_t i = 0; i < out.size(); ++i)
        if (!(types.at(n.outputs[i]) == out[i])) return false;
    } catch (const DeviceError&) {
      throw;  // lack of memory, which says nothing about the nodes
    } catch (const Error&) {
      return false;
    }
  }
  return true;
}

// Goes through the graph once. A place that a rewrite may have opened is looked at again: what is inside of a picture
// has one reader, so it lies on the way from the new nodes, or from a value that has one reader left, along sole
// readers, no further than the picture is large.
class Rewriter {
 public:
  Rewriter(const Rewrite& rewrite, Graph& graph)
      : before_(parse_graph(rewrite.before)), after_(parse_graph(rewrite.after)), uses_(before_), graph_(graph) {
    for (const Node& node : before_.nodes)
      check<InternalError>(node.outputs.size() == 1, rewrite.name, ": the picture has a node of several outputs");
  }

  int run() {
    for (std::size_t n = 0, count = graph_.size(); n < count; ++n) {
      again_.push_back(n);
      while (!again_.empty()) {
        const std::size_t next = again_.back();
        again_.pop_back();
        if (!graph_.is_gone(next)) look_at(next);
      }
    }
    graph_.finish();
    return places_;
  }

 private:
  void look_at(std::size_t n) {
    Attempt attempt(graph_, before_, uses_);
    if (!attempt.at(n)) return;
    if (!types_) types_ = graph_.infer_types();  // rewrites keep all types
    auto made = instantiate(after_, attempt.match, graph_.node(n).origin);
    if (!fits(made, *types_)) return;
    std::vector<std::string> touched;
    for (const auto old : attempt.match.nodes) {
      const auto& inputs = graph_.node(old).inputs;
      touched.insert(touched.end(), inputs.begin(), inputs.end());
    }
    for (const auto fresh : graph_.replace(attempt.match.nodes, n, std::move(made))) {
      again_.push_back(fresh);
      const auto& outputs = graph_.node(fresh).outputs;
      touched.insert(touched.end(), outputs.begin(), outputs.end());
    }
    for (const auto& value : touched) look_along(value);
    ++places_;
  }

  void look_along(std::string value) {
    for (std::size_t i = 0; i < before_.nodes.size(); ++i) {
      const auto reader = graph_.sole_reader(value);
      if (!reader) return;
      again_.push_back(*reader);
      if (graph_.node(*reader).outputs.size() != 1) return;  // no node of a picture
      value = graph_.node(*reader).outputs[0];
    }
  }

  const Graph before_, after_;
  const Uses uses_;
  LiveGraph graph_;
  std::optional<TypeMap> types_;
  std::vector<std::size_t> again_;
  int places_ = 0;
};

}  // namespace

int apply(const Rewrite& rewrite, Graph& graph) {
  const Node last = parse_graph(rewrite.before).nodes.back();
  if (std::ranges::find(graph.nodes, last.type, &Node::type) == graph.nodes.end()) return 0;
  const int places = Rewriter(rewrite, graph).run();
  // Without the nodes that nothing depends on, others may have one reader.
  return places != 0 && remove_dead(graph) != 0 ? places + apply(rewrite, graph) : places;
}

std::string call_text(const Operator& op, std::size_t inputs) {
  const auto names = [](const std::vector<Port>& ports, std::size_t count) {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < count; ++i) out.push_back(ports[i].name);
    return list_of(out);
  };
  return names(op.outputs, op.outputs.size()) + " = " + op.type + '(' + names(op.inputs, inputs) + ") {*}\n";
}

namespace {

// One rewrite for each number of inputs that the operator may have.
Pass fusion_pass(const Operator& op) {
  const auto required = static_cast<std::size_t>(std::ranges::count(op.inputs, false, &Port::optional));
  std::vector<Rewrite> rewrites;
  for (std::size_t inputs = required; inputs <= op.inputs.size(); ++inputs)
    rewrites.push_back({"fuse-" + op.type, op.meaning(op.parse({}), inputs), call_text(op, inputs)});
  return {rewrites[0].name, [rewrites](Graph& graph, const Log&) {
            int places = 0;
            for (const auto& rewrite : rewrites) places += apply(rewrite, graph);
            return places;
          }};
}

}  // namespace

std::vector<Pass> fusion_passes() {
  std::vector<std::pair<std::size_t, Pass>> fusions;
  for (const auto& [type, op] : operators()) {
    // An operator with repeated inputs has as many meanings as input counts: it brings a pass of its own.
    if (std::ranges::any_of(op.inputs, &Port::repeated)) continue;
    // One that decides its layout stands for a Reorder too, which comes later.
    if (op.layout == LayoutRule::own) continue;
    const auto text = op.meaning(op.parse({}), op.inputs.size());
    if (!text.empty()) fusions.push_back({parse_graph(text).nodes.size(), fusion_pass(op)});
  }
  std::ranges::stable_sort(fusions, std::greater<>(), &std::pair<std::size_t, Pass>::first);
  std::vector<Pass> passes;
  for (auto& [size, pass] : fusions) passes.push_back(std::move(pass));
  return passes;
}

std::vector<Node> expand(const Node& node, UnusedNames& unused) {
  const Operator* op = find_operator(node.type);
  const auto text = op->meaning(op->parse(node.args), node.inputs.size());
  if (text.empty()) return {};
  std::map<std::string, std::string> names;
  std::size_t i = 0;
  const auto repeats = static_cast<std::size_t>(std::ranges::count_if(op->inputs, &Port::repeated));
  const std::size_t times = repeats ? (node.inputs.size() - (op->inputs.size() - repeats)) / repeats : 1;
  for (const auto& port : op->inputs)
    for (std::size_t k = 0; k < (port.repeated ? times : 1) && i < node.inputs.size(); ++k)
      names[port.repeated ? port.name + '_' + std::to_string(k) : port.name] = node.inputs[i++];
  for (std::size_t k = 0; k < node.outputs.size(); ++k) names[op->outputs[k].name] = node.outputs[k];
  std::vector<Node> nodes = parse_graph(text).nodes;
  for (auto& n : nodes) {
    if (n.args.erase("*")) n.args.insert(node.args.begin(), node.args.end());
    for (auto* list : {&n.inputs, &n.outputs})
      for (auto& name : *list) {
        if (!names.contains(name)) names[name] = unused.make(node.outputs[0] + '.' + name);
        name = names[name];
      }
    n.origin = node.origin;
  }
  return nodes;
}

}  // namespace d2deploy
