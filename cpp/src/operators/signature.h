// The inputs and outputs of an operator, read from one line of text each.
//
//   "X: float32 (N, C, H, W) | rois: float32 (R, 4|5) x1, y1, x2, y2 | b?: float32 (M)"
//
// A port is `name: dtypes shape remark`. `?` marks an optional port, `*` one that repeats (the last
// one, or several in a row that repeat together in order: all of the first, then all of the second).
// dtypes: `any`, or names joined by '|'. shape: `any` or `(dims)`; a dim is a letter or word (equal
// ones must be equal wherever they stand), a number, alternatives `4|5`, or a last `...`.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "d2deploy/tensor.h"

namespace d2deploy {

struct Dim {
  std::string symbol;                      // empty where the dimension is a number
  std::vector<std::int64_t> alternatives;  // empty where it is a symbol
};

struct Port {
  std::string name;
  std::string dtype_text, shape_text, remark;
  std::vector<DType> dtypes;  // empty: any
  std::vector<Dim> dims;
  bool any_shape = false;
  bool open_ended = false;  // ends in "..."
  bool optional = false;
  bool repeated = false;
};

/// Throws InternalError where the text is not of the form above.
std::vector<Port> parse_ports(std::string_view text);

/// Throws InvalidArgument, with the operator's name and the port's, where `types` do not fit.
void check_inputs(std::string_view type, const std::vector<Port>& ports, std::span<const TensorType> types);
void check_output_count(std::string_view type, const std::vector<Port>& ports, std::size_t count);

}  // namespace d2deploy
