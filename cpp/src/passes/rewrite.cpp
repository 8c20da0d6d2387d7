#include "passes/rewrite.h"

#include <algorithm>
#include <set>

namespace d2deploy {

namespace {

// One try to find the picture with its last node at a given node of the graph.
class Attempt {
 public:
  Attempt(const Graph& graph, const Graph& picture, const Uses& uses, const Uses& picture_uses)
      : graph_(graph), picture_(picture), uses_(uses), picture_uses_(picture_uses) {}

  bool at(std::size_t g) { return node(picture_.nodes.size() - 1, g); }

  Match match;
  std::set<std::size_t> used;  // indices of the matched nodes

 private:
  bool bind(const std::string& name, const std::string& value) {
    const auto [it, fresh] = match.values.emplace(name, value);
    return fresh || it->second == value;
  }

  bool node(std::size_t p, std::size_t g) {
    const Node &want = picture_.nodes[p], &have = graph_.nodes[g];
    if (want.type != have.type || want.inputs.size() != have.inputs.size() ||
        want.outputs.size() != have.outputs.size())
      return false;
    if (want.args.contains("*")) {
      match.carried = have.args;
    } else if (want.args != have.args) {
      return false;
    }
    used.insert(g);
    for (std::size_t i = 0; i < want.outputs.size(); ++i)
      if (!bind(want.outputs[i], have.outputs[i])) return false;
    if (inputs(want, have.inputs)) return true;
    const Operator* op = find_operator(have.type);
    return op->is(commutative) && have.inputs.size() == 2 && inputs(want, {have.inputs[1], have.inputs[0]});
  }

  bool inputs(const Node& want, const std::vector<std::string>& values) {
    const auto match_before = match;
    const auto used_before = used;
    for (std::size_t i = 0; i < want.inputs.size(); ++i)
      if (!input(want.inputs[i], values[i])) {
        match = match_before;
        used = used_before;
        return false;
      }
    return true;
  }

  bool input(const std::string& name, const std::string& value) {
    if (name.front() == '#') {
      const auto it = graph_.constants.find(value);
      if (it == graph_.constants.end()) return false;
      match.constants[name] = it->second;
      return true;
    }
    const auto wanted = picture_uses_.producer(name);
    if (wanted < 0) return bind(name, value);
    const auto producer = uses_.producer(value);
    const bool inside = producer >= 0 && uses_.readers(value).size() == 1 && !uses_.is_output(value);
    return inside && node(static_cast<std::size_t>(wanted), static_cast<std::size_t>(producer));
  }

  const Graph &graph_, &picture_;
  const Uses &uses_, &picture_uses_;
};

// The nodes of the picture `after` with the names of the match.
std::vector<Node> instantiate(const Graph& after, const Match& match, std::int64_t origin,
                              std::map<std::string, Tensor>& constants) {
  std::vector<Node> made;
  for (Node n : after.nodes) {
    if (n.args.erase("*")) n.args.insert(match.carried.begin(), match.carried.end());
    for (auto& y : n.outputs) y = match.values.at(y);
    for (auto& x : n.inputs) {
      if (x.front() != '#') {
        x = match.values.at(x);
        continue;
      }
      const std::string name = n.outputs[0] + '.' + x.substr(1);
      constants[name] = match.constants.at(x);
      x = name;
    }
    n.origin = origin;
    made.push_back(std::move(n));
  }
  return made;
}

// Whether the new nodes take the inputs found there and give the types that were there.
bool fits(const std::vector<Node>& nodes, const TypeMap& types, const std::map<std::string, Tensor>& constants) {
  for (const auto& n : nodes) {
    Types in;
    for (const auto& x : n.inputs) {
      const auto it = constants.find(x);
      in.push_back(it != constants.end() ? it->second.type() : types.at(x));
    }
    try {
      const Operator* op = find_operator(n.type);
      const auto out = infer(*op, op->parse(n.args), {in, {}}, n.outputs.size());
      for (std::size_t i = 0; i < out.size(); ++i)
        if (types.contains(n.outputs[i]) && !(types.at(n.outputs[i]) == out[i])) return false;
    } catch (const Error&) {
      return false;
    }
  }
  return true;
}

int apply_once(const Rewrite& rewrite, const Graph& before, const Graph& after, Graph& graph) {
  const Uses uses(graph), picture_uses(before);
  const auto types = infer_types(graph);
  std::set<std::size_t> gone;
  std::map<std::size_t, std::vector<Node>> made;
  for (std::size_t g = 0; g < graph.nodes.size(); ++g) {
    Attempt attempt(graph, before, uses, picture_uses);
    if (!attempt.at(g)) continue;
    if (std::ranges::any_of(attempt.used, [&](std::size_t i) { return gone.contains(i); })) continue;
    if (rewrite.compute && !rewrite.compute(attempt.match)) continue;
    std::map<std::string, Tensor> constants;
    auto nodes = instantiate(after, attempt.match, graph.nodes[g].origin, constants);
    if (!fits(nodes, types, constants)) continue;
    graph.constants.merge(constants);
    gone.insert(attempt.used.begin(), attempt.used.end());
    made[g] = std::move(nodes);
  }
  if (made.empty()) return 0;
  std::vector<Node> nodes;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (const auto it = made.find(i); it != made.end()) nodes.insert(nodes.end(), it->second.begin(), it->second.end());
    if (!gone.contains(i)) nodes.push_back(std::move(graph.nodes[i]));
  }
  graph.nodes = std::move(nodes);
  remove_dead(graph);
  return static_cast<int>(made.size());
}

}  // namespace

int apply(const Rewrite& rewrite, Graph& graph) {
  const Graph before = parse_graph(rewrite.before), after = parse_graph(rewrite.after);
  int count = 0;
  while (const int n = apply_once(rewrite, before, after, graph)) count += n;  // one rewrite may open another
  return count;
}

Pass to_pass(Rewrite rewrite) {
  return {rewrite.name, [rewrite](Graph& graph, const Log&) { return apply(rewrite, graph); }};
}

std::string call_text(const Operator& op) {
  const auto names = [](const std::vector<Port>& ports) {
    std::vector<std::string> out;
    for (const auto& p : ports) out.push_back(p.name);
    return list_of(out);
  };
  return names(op.outputs) + " = " + op.type + '(' + names(op.inputs) + ") {*}\n";
}

std::vector<Pass> fusion_passes() {
  std::vector<std::pair<std::size_t, Rewrite>> rewrites;
  for (const auto& [type, op] : operators()) {
    // An operator with repeated inputs has as many meanings as input counts: it brings a pass of its own.
    if (std::ranges::any_of(op.inputs, &Port::repeated)) continue;
    const auto text = op.meaning(op.parse({}), op.inputs.size());
    if (!text.empty()) rewrites.push_back({parse_graph(text).nodes.size(), {"fuse-" + type, text, call_text(op)}});
  }
  std::ranges::stable_sort(rewrites, std::greater<>(), &std::pair<std::size_t, Rewrite>::first);
  std::vector<Pass> passes;
  for (auto& [size, rewrite] : rewrites) passes.push_back(to_pass(std::move(rewrite)));
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
