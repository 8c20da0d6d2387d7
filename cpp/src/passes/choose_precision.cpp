// Which nodes run in a reduced real type. Heavy ones do whose result a heavy one reads, directly or through light ones.
// The last layer of a head reads what is reduced and gives float32, and float32 are coordinates and scores, which stand
// at ports that take nothing else. Light nodes (pooling, resizing, additions, copies) run reduced where what they read
// is reduced and a heavy one follows. Reorder nodes stand where the type changes.
#include <algorithm>
#include <set>

#include "core/element_type.h"
#include "kernels/convert.h"
#include "passes/heavy_readers.h"
#include "passes/pass.h"

namespace d2deploy {

namespace {

class PrecisionAssigner {
 public:
  PrecisionAssigner(Graph& graph, DType real)
      : graph_(graph), real_(real), names_(graph), outputs_(graph.outputs.begin(), graph.outputs.end()) {
    types_ = infer_types(graph);
    heavy_reads_ = read_by_heavy(graph_);
  }

  int run() {
    for (auto& node : graph_.nodes) visit(node);
    graph_.nodes = std::move(nodes_);
    return places_;
  }

 private:
  bool runs_reduced(const Operator& op, const Node& node) const {
    if (!heavy_reads_.contains(node.outputs[0]) || node.inputs.empty()) return false;
    bool any = op.is(heavy);
    const auto may = may_reduce_inputs(op, node);
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (!may[i]) continue;
      const DType dtype = types_.at(node.inputs[i]).dtype;
      if (!is_real(dtype)) return false;
      const bool constant = graph_.constants.contains(node.inputs[i]);
      if (!op.is(heavy) && !constant && dtype != real_) return false;
      any = any || dtype == real_;
    }
    return any;
  }

  // A heavy node whose result none reads: it takes what is reduced, and gives float32.
  bool ends_reduced(const Operator& op, Node& node) const {
    if (!op.is(heavy)) return false;
    const bool gives_float32 = std::ranges::none_of(op.outputs, &Port::real);
    if (!gives_float32 && std::ranges::none_of(op.outputs, &Port::chosen)) return false;
    const auto may = may_reduce_inputs(op, node);
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      if (may[i] && types_.at(node.inputs[i]).dtype != real_) return false;
    if (!gives_float32) node.args["dtype"] = std::string(name(DType::float32));
    return true;
  }

  void visit(Node& node) {
    const Operator& op = *find_operator(node.type);
    const bool reduced = !is_reorder(node) && runs_reduced(op, node);
    const bool reads = reduced || (!is_reorder(node) && ends_reduced(op, node));
    const auto may_read = may_reduce_inputs(op, node);
    for (std::size_t i = 0; i < node.inputs.size() && !is_reorder(node); ++i)
      if (is_real(types_.at(node.inputs[i]).dtype))
        node.inputs[i] = as(reads && may_read[i] ? real_ : DType::float32, node.inputs[i]);
    std::vector<std::size_t> restored;
    const auto may_write = may_reduce(op, op.outputs, node.outputs.size());
    for (std::size_t i = 0; i < node.outputs.size() && reduced; ++i) {
      const std::string& y = node.outputs[i];
      TensorType& type = types_.at(y);
      if (type.dtype != DType::float32 || !may_write[i]) continue;
      type.dtype = real_;
      ++places_;
      if (outputs_.contains(y)) restored.push_back(i);
    }
    nodes_.push_back(std::move(node));
    const std::size_t maker = nodes_.size() - 1;
    for (const auto i : restored) restore_output(nodes_[maker].outputs[i]);
  }

  // The value as another real type: itself, or a copy.
  std::string as(DType dtype, const std::string& value) {
    if (types_.at(value).dtype == dtype) return value;
    const auto key = std::pair{value, dtype};
    if (const auto it = copies_.find(key); it != copies_.end()) return it->second;
    const auto copy = names_.make(value + '.' + std::string(name(dtype)));
    types_[copy] = types_.at(value);
    types_[copy].dtype = dtype;
    if (const auto it = graph_.constants.find(value); it != graph_.constants.end()) {
      Tensor converted = Tensor::allocate(types_[copy]);
      convert(it->second.dtype(), it->second.raw(), dtype, converted.raw(), converted.size());
      graph_.constants[copy] = converted;
    } else {
      nodes_.push_back(Node{"Reorder", {{"dtype", std::string(name(dtype))}}, {value}, {copy}});
    }
    return copies_[key] = copy;
  }

  // An output of the net that became reduced: its maker writes another name, into `made`, a Reorder the output.
  void restore_output(std::string& made) {
    const std::string value = made;
    const auto reduced = made = names_.make(value + '.' + std::string(name(real_)));
    types_[reduced] = types_.at(value);
    types_[value].dtype = DType::float32;
    nodes_.push_back(Node{"Reorder", {{"dtype", std::string(name(DType::float32))}}, {reduced}, {value}});
    copies_[{value, real_}] = reduced;
  }

  Graph& graph_;
  DType real_;
  UnusedNames names_;
  std::set<std::string> outputs_, heavy_reads_;
  TypeMap types_;
  std::vector<Node> nodes_;
  std::map<std::pair<std::string, DType>, std::string> copies_;
  int places_ = 0;
};

}  // namespace

int choose_precision(Graph& graph, DType real) {
  if (real == DType::float32) return 0;
  const int places = PrecisionAssigner(graph, real).run();
  remove_dead(graph);
  return places;
}

}  // namespace d2deploy
