// Our names for operators, and only operators and arguments that files may have and that we know.
#include <algorithm>

#include "passes/pass.h"

namespace d2deploy {

namespace {

// "ATen (operator=index)": the fallback node of the exporter says what it really is in an argument.
std::string shown_type(const Node& node) {
  const auto it = node.args.find("operator");
  return it == node.args.end() ? node.type : node.type + " (operator=" + to_text(it->second) + ")";
}

// The first few, and how many more there are: a message must not be as long as a hostile net.
std::string some_of(std::vector<std::string> texts) {
  constexpr std::size_t kMost = 20;
  if (texts.size() <= kMost) return list_of(texts);
  const std::size_t more = texts.size() - kMost;
  texts.resize(kMost);
  return join(list_of(texts), " and ", more, " more");
}

}  // namespace

int canonical_names(Graph& graph, const Log& sink) {
  std::vector<std::string> unsupported, wrong;
  int places = 0;
  for (auto& node : graph.nodes) {
    const Operator* op = find_operator(node.type);
    if (op == nullptr || op->is(internal)) {
      unsupported.push_back(shown_type(node) + " at " + describe(node));
      continue;
    }
    if (node.type != op->type) ++places;
    node.type = op->type;
    for (const auto& name : unknown_arguments(*op, node.args)) {
      log(sink, LogLevel::warning, describe(node), ": ignoring unknown argument '", name, "'");
      node.args.erase(name);
      ++places;
    }
    // Split makes as many parts as it has outputs: our operators know their outputs from the arguments.
    if (op->type == "Split") node.args["parts"] = static_cast<std::int64_t>(node.outputs.size());
    try {
      (void)op->parse(node.args);
    } catch (const DeviceError&) {
      throw;  // lack of memory, not a fault of the node
    } catch (const Error& e) {
      wrong.push_back(describe(node) + ": " + e.what());
    }
  }
  const bool quantised = std::ranges::any_of(graph.nodes, [](const Node& n) { return n.type.starts_with("Int8"); });
  if (!unsupported.empty())
    fail<Unsupported>("the net has operators that are not supported: ", some_of(unsupported),
                      quantised ? "; a net in 8 bits comes from the float32 one: export that and run it with precision "
                                  "int8, after d2deploy calibrate"
                                : "");
  if (!wrong.empty()) fail<InvalidModel>(some_of(wrong));
  return places;
}

}  // namespace d2deploy
