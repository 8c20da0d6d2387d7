// For predictions, which take one mask of each detection: the last layer of the mask head, a convolution with a filter
// of one cell for each class, computes that of the detection's own class alone.
#include <algorithm>
#include <array>
#include <set>

#include "operators/box_with_nms_limit/box_with_nms_limit.h"
#include "passes/one_cell_filters.h"

namespace d2deploy {

namespace {

// As Detectron2 calls the outputs.
constexpr const char *kMasks = "mask_fcn_probs", *kClasses = "class_nms";

// The node of this type that makes the net's output `value`; else null.
const Node* maker_of_output(const Graph& graph, const Uses& uses, const char* value, std::string_view type) {
  const auto index = uses.producer(value);
  if (index < 0 || !uses.is_output(value)) return nullptr;
  const Node& node = graph.nodes[static_cast<std::size_t>(index)];
  return node.type == type ? &node : nullptr;
}

// The BoxWithNMSLimit that says what class each detection is of; else null.
const Node* find_detections(const Graph& graph, const Uses& uses) {
  const Node* node = maker_of_output(graph, uses, kClasses, "BoxWithNMSLimit");
  return node != nullptr && node->outputs.size() > 3 && node->outputs[2] == kClasses ? node : nullptr;
}

// The convolution whose result is the masks, but for a sigmoid, and is read by nothing else; else null.
const Node* find_last_layer(const Graph& graph, const Uses& uses) {
  const Node* sigmoid = maker_of_output(graph, uses, kMasks, "Sigmoid");
  if (sigmoid == nullptr || !uses.readers(kMasks).empty()) return nullptr;
  return sole_producer(graph, uses, sigmoid->inputs[0], "Conv");
}

// The classes that the detections may be of lie in [0, this); kUnknown where that is not known.
std::int64_t classes_end(const Graph& graph, const Node& detections) {
  const std::int64_t columns = infer_types(graph).at(detections.inputs[0]).shape[1];
  if (columns == kUnknown) return kUnknown;
  return params_of<BoxWithNMSLimit>(detections).output_classes_include_bg_cls ? columns : columns - 1;
}

bool works_row_by_row(const Node& node) {
  constexpr std::array kTypes{"AffineChannel", "Conv", "ConvTranspose", "GroupNorm", "Relu", "SpatialBN"};
  return std::ranges::count(kTypes, node.type) != 0;
}

// The values whose rows are the detections, one by one: what is pooled for their boxes, and what is computed of that
// row by row.
std::set<std::string> rows_of(const Graph& graph, const Node& detections) {
  std::set<std::string> values;
  const auto has_rows = [&](const std::string& x) { return values.contains(x); };
  const auto follows = [&](const Node& node) {
    if (node.type == "BatchBoxes")
      return node.inputs[0] == detections.outputs[1] && node.inputs[1] == detections.outputs[3];
    if (node.type == "RoIAlign") return has_rows(node.inputs[1]);
    if (node.type == "Add" || node.type == "Sum") return std::ranges::all_of(node.inputs, has_rows);
    return (node.type == "PyramidRoIAlign" || works_row_by_row(node)) && has_rows(node.inputs[0]);
  };
  for (const Node& node : graph.nodes)
    if (follows(node)) values.insert(node.outputs[0]);
  return values;
}

}  // namespace

int own_class_masks(Graph& graph, const Log&) {
  const Uses uses(graph);
  const Node *layer = find_last_layer(graph, uses), *detections = find_detections(graph, uses);
  if (layer == nullptr || detections == nullptr) return 0;
  const std::int64_t filters = one_cell_filters(graph, *layer);
  if (filters < 2) return 0;  // one mask is of any class
  const std::int64_t classes = classes_end(graph, *detections);
  if (classes == kUnknown || classes > filters || !rows_of(graph, *detections).contains(layer->inputs[0])) return 0;
  Node& node = graph.nodes[static_cast<std::size_t>(uses.producer(layer->outputs[0]))];
  node.type = "OwnClassConv";
  node.args.clear();
  node.inputs.insert(node.inputs.begin() + 1, kClasses);
  return 1;
}

}  // namespace d2deploy
