// The graph after import: single assignment, nodes in execution order, one text form.
//
//   input data float32 ?x3x?x?            a `?` is known only when the model is run
//   const w float32 2x2 = 1 2 3 4         (add `channels_last` after the dims where it is stored so)
//   y = Conv(data, w) {kernels=[1,1]}
//   output y
//
// A `const` without values has zeros. `#` starts a comment line.
#pragma once
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/args.h"
#include "d2deploy/tensor.h"

namespace d2deploy {

struct Node {
  std::string type;
  Args args;
  std::vector<std::string> inputs, outputs;
  std::int64_t origin = -1;  ///< place in the file, for messages; -1: made by a pass
};

struct Graph {
  std::string name;
  std::vector<std::string> inputs, outputs;
  std::map<std::string, TensorType> input_types;
  std::map<std::string, Tensor> constants;
  std::vector<Node> nodes;
  Args attributes;  ///< arguments of the net itself
};

/// Throws InvalidModel, with the line.
Graph parse_graph(std::string_view text);
/// `parse_graph(to_text(g))` equals g, but for its name and attributes, origins of nodes, and the values of constants
/// with more than 64 elements, which are left out.
std::string to_text(const Graph& graph);
std::string to_text(const Node& node);

/// "node 17 (RoIAlign -> roi_feat)"
std::string describe(const Node& node);

/// Structure only: every value is assigned once, before it is used; every output exists. Throws InvalidModel.
void verify(const Graph& graph);

/// Who makes and who reads each value. Goes stale when the graph changes.
class Uses {
 public:
  explicit Uses(const Graph& graph);
  /// Index of the node that makes the value; -1 for inputs and constants.
  std::int64_t producer(const std::string& value) const;
  /// Indices of the nodes that read it, one entry per reading.
  const std::vector<std::size_t>& readers(const std::string& value) const;
  bool is_output(const std::string& value) const;

 private:
  struct Entry {
    std::int64_t producer = -1;
    std::vector<std::size_t> readers;
    bool output = false;
  };
  std::map<std::string, Entry> entries_;
};

/// Makes value names that the graph does not use and that it has not made before. One for a whole pass: making it looks
/// at the whole graph.
class UnusedNames {
 public:
  explicit UnusedNames(const Graph& graph);
  /// `base`, or base_1, base_2, ...
  std::string make(const std::string& base);

 private:
  std::set<std::string> used_;
  std::map<std::string, std::size_t> counts_;  // per base, how far it has been counted
};

}  // namespace d2deploy
