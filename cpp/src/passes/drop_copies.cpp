// Copies between devices, aliases, and concatenations of one tensor change nothing: the device is the caller's choice.
#include "passes/pass.h"

namespace d2deploy {

namespace {

bool is_copy(const Node& node, const Uses& uses) {
  const std::size_t outputs = node.outputs.size();
  if (node.inputs.size() != 1 || outputs == 0 || outputs > 2) return false;  // types are not checked yet
  if (node.type == "Copy") return outputs == 1;
  const bool sizes_unread = outputs == 1 || (uses.readers(node.outputs[1]).empty() && !uses.is_output(node.outputs[1]));
  return node.type == "Concat" && sizes_unread;
}

// What the values of a graph are called once its copies are gone.
class Renaming {
 public:
  /// What `value` is a copy of, in the end; itself where it is not one.
  const std::string& source(const std::string& value) const { return found(sources_, value); }
  void add_copy(const std::string& copy, const std::string& source) { sources_[copy] = source; }

  bool has_new_name(const std::string& source) const { return names_.contains(source); }
  void set_name(const std::string& source, const std::string& name) { names_[source] = name; }

  void apply(std::vector<std::string>& values) const {
    for (auto& value : values) value = found(names_, source(value));
  }

 private:
  using Names = std::map<std::string, std::string>;

  static const std::string& found(const Names& names, const std::string& name) {
    const auto it = names.find(name);
    return it == names.end() ? name : it->second;
  }

  Names sources_, names_;
};

}  // namespace

int drop_copies(Graph& graph, const Log&) {
  const Uses uses(graph);
  Renaming renaming;
  std::vector<Node> kept;
  for (auto& node : graph.nodes) {
    if (!is_copy(node, uses)) {
      kept.push_back(std::move(node));
      continue;
    }
    const std::string source = renaming.source(node.inputs[0]), &copy = node.outputs[0];
    // An output must keep its name, so the value that is copied takes it, where it has no name to keep itself: as an
    // input, a constant, or another output.
    const bool output = uses.is_output(copy);
    if (output && (uses.producer(source) < 0 || uses.is_output(source) || renaming.has_new_name(source))) {
      kept.push_back(std::move(node));
      continue;
    }
    if (output) renaming.set_name(source, copy);
    renaming.add_copy(copy, source);
  }
  const auto places = static_cast<int>(graph.nodes.size() - kept.size());
  graph.nodes = std::move(kept);
  if (places == 0) return 0;
  for (auto& node : graph.nodes) {
    renaming.apply(node.inputs);
    renaming.apply(node.outputs);
  }
  return places;
}

}  // namespace d2deploy
