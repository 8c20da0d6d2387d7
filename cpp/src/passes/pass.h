// A pass turns a graph into a better one that computes the same.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/log.h"
#include "graph/calibration.h"
#include "graph/graph.h"
#include "operators/operator.h"

namespace d2deploy {

struct Pass {
  std::string name;
  std::function<int(Graph&, const Log&)> run;  ///< number of places changed
};

/// The pass of that name from all pipelines, that for bfloat16 included; nothing where there is none.
std::optional<Pass> find_pass(const std::string& name);

/// What every graph from a file goes through: our operator names, known arguments, no copies. Throws Unsupported
/// with all operators that we do not have, InvalidModel with all arguments that are wrong.
const std::vector<Pass>& import_passes();
/// What makes it fast, in order, with reduced precision where `real` is not float32 (int8: by a calibration), and with
/// the masks of a prediction alone where asked for.
std::vector<Pass> optimize_passes(DType real = DType::float32, bool own_class_masks = false,
                                  std::shared_ptr<const Calibration> calibration = nullptr);

void run_passes(Graph& graph, const std::vector<Pass>& passes, const Log& log);

using TypeMap = std::map<std::string, TensorType>;
/// The type of every value; dimensions that depend on the input's size or on data are kUnknown.
/// Throws InvalidModel, with the node, where an operator does not fit its inputs.
TypeMap infer_types(const Graph& graph);
/// The same step by step, for passes that change what they go through: the types of inputs and constants, to which the
/// outputs of one node after the other are added.
TypeMap given_types(const Graph& graph);
void infer_node(const Graph& graph, const Node& node, TypeMap& types);

/// Removes nodes and constants that no output depends on; returns how many nodes.
int remove_dead(Graph& graph);

/// The node of this type that makes `value`, where only one node reads it and it is not an output; else null.
const Node* sole_producer(const Graph& graph, const Uses& uses, const std::string& value, std::string_view type);
/// Whether two nodes have the same arguments, apart from this one.
bool equal_but(const Node& a, const Node& b, const std::string& argument);

/// The parameters of a node, typed.
template <class Op>
typename Op::Params params_of(const Node& node) {
  return *static_cast<const typename Op::Params*>(find_operator(Op::signature.type)->parse(node.args).get());
}

// The hand-written passes; each stands in a file of its name. None may take more than a few looks at a node: what a
// file holds may be long (work_test counts).
int canonical_names(Graph& graph, const Log& log);
int drop_copies(Graph& graph, const Log& log);
int fold_constants(Graph& graph, const Log& log);
int add_bias(Graph& graph, const Log& log);
int fold_scale(Graph& graph, const Log& log);
int separate_images(Graph& graph, const Log& log);
int fuse_pyramid_proposals(Graph& graph, const Log& log);
int fuse_pyramid_roi_align(Graph& graph, const Log& log);
int flatten_into_fc(Graph& graph, const Log& log);
int fuse_own_class(Graph& graph, const Log& log);
/// The one that changes what the net computes: `mask_fcn_probs` (R, classes, M, M) becomes (R, 1, M, M), the mask of
/// the class in `class_nms` of each row. Leaves a net alone where it is not certain that every row has one.
int own_class_masks(Graph& graph, const Log& log);
int channels_last(Graph& graph, const Log& log);
int normalise_image(Graph& graph, const Log& log);
/// Lets nodes run in `real` where that pays; returns how many values got that type.
int choose_precision(Graph& graph, DType real);

}  // namespace d2deploy
