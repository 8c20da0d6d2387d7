// The order of the passes, and what they all need. A graph's constants are its own: what nothing else in the graph
// needs is changed in its memory, since weights are large.
#include <algorithm>
#include <set>

#include "passes/quantise.h"
#include "passes/rewrite.h"

namespace d2deploy {

const std::vector<Pass>& import_passes() {
  static const std::vector<Pass> passes{
      {"canonical-names", canonical_names},
      {"drop-copies", drop_copies},
      {"separate-images", separate_images},
  };
  return passes;
}

std::vector<Pass> optimize_passes(DType real, bool own_class_masks, std::shared_ptr<const Calibration> calibration) {
  std::vector<Pass> all{
      {"fold-constants", fold_constants},  // first: others look for constants
      {"add-bias", add_bias},
      {"fold-scale", fold_scale},
      {"fuse-pyramid-proposals", fuse_pyramid_proposals},
      {"fuse-pyramid-roi-align", fuse_pyramid_roi_align},
      {"flatten-into-fc", flatten_into_fc},
      {"fuse-own-class", fuse_own_class},
  };
  if (own_class_masks) all.push_back({"own-class-masks", d2deploy::own_class_masks});
  std::ranges::move(fusion_passes(), std::back_inserter(all));
  if (calibration != nullptr)
    all.push_back(
        {"quantise", [calibration](Graph& graph, const Log& log) { return quantise(graph, *calibration, log); }});
  else if (real != DType::float32)
    all.push_back({"choose-precision", [real](Graph& graph, const Log&) { return choose_precision(graph, real); }});
  all.push_back({"channels-last", channels_last});
  all.push_back({"normalise-image", normalise_image});
  return all;
}

std::optional<Pass> find_pass(const std::string& name) {
  for (const auto& passes : {import_passes(), optimize_passes(DType::bfloat16, true)})
    for (const auto& pass : passes)
      if (pass.name == name) return pass;
  return std::nullopt;
}

void run_passes(Graph& graph, const std::vector<Pass>& passes, const Log& sink) {
  for (const auto& pass : passes) {
    const auto nodes = graph.nodes.size();
    const int places = pass.run(graph, sink);
    log(sink, LogLevel::debug, "pass ", pass.name, ": ", places, " places, ", nodes, " -> ", graph.nodes.size(),
        " nodes");
#ifdef D2DEPLOY_VERIFY_PASSES
    if (places == 0) continue;
    with_context([&] { return "after pass " + pass.name; },
                 [&] {
                   verify(graph);
                   (void)infer_types(graph);
                 });
#endif
  }
}

void infer_node(const Graph& graph, const Node& node, TypeMap& types) {
  with_context([&] { return describe(node); },
               [&] {
                 const Operator* op = find_operator(node.type);
                 check<Unsupported>(op != nullptr, "there is no operator '", node.type, "'");
                 Types in;
                 std::vector<const Tensor*> values;
                 for (const auto& x : node.inputs) {
                   const auto it = types.find(x);
                   check<InvalidModel>(it != types.end(), "input '", x, "' is used before it is assigned");
                   in.push_back(it->second);
                   const auto constant = graph.constants.find(x);
                   values.push_back(constant == graph.constants.end() ? nullptr : &constant->second);
                 }
                 const auto out = infer(*op, op->parse(node.args), {in, values}, node.outputs.size());
                 for (std::size_t i = 0; i < node.outputs.size(); ++i) types[node.outputs[i]] = out[i];
               });
}

TypeMap given_types(const Graph& graph) {
  TypeMap types = graph.input_types;
  for (const auto& [name, tensor] : graph.constants) types[name] = tensor.type();
  return types;
}

TypeMap infer_types(const Graph& graph) {
  TypeMap types = given_types(graph);
  for (const auto& node : graph.nodes) infer_node(graph, node, types);
  return types;
}

int remove_dead(Graph& graph) {
  std::set<std::string> wanted(graph.outputs.begin(), graph.outputs.end());
  std::vector<Node> kept;
  for (auto it = graph.nodes.rbegin(); it != graph.nodes.rend(); ++it) {
    if (std::ranges::none_of(it->outputs, [&](const std::string& y) { return wanted.contains(y); })) continue;
    wanted.insert(it->inputs.begin(), it->inputs.end());
    kept.push_back(std::move(*it));
  }
  const auto removed = static_cast<int>(graph.nodes.size() - kept.size());
  std::ranges::reverse(kept);
  graph.nodes = std::move(kept);
  std::erase_if(graph.constants, [&](const auto& item) { return !wanted.contains(item.first); });
  return removed;
}

const Node* sole_producer(const Graph& graph, const Uses& uses, const std::string& value, std::string_view type) {
  const auto index = uses.producer(value);
  if (index < 0 || uses.readers(value).size() != 1 || uses.is_output(value)) return nullptr;
  const Node& node = graph.nodes[static_cast<std::size_t>(index)];
  return node.type == type ? &node : nullptr;
}

bool equal_but(const Node& a, const Node& b, const std::string& argument) {
  Args x = a.args, y = b.args;
  x.erase(argument);
  y.erase(argument);
  return x == y;
}

}  // namespace d2deploy
