// The inputs and outputs of an operator, read from one line of text each.
//
//   "X: float32 (N, C, H, W) | rois: float32 (R, 4|5) x1, y1, x2, y2 | b?: float32 (M)"
//
// A port is `name: dtypes shape remark`. `?` marks an optional port, `*` one that repeats (the last
// one, or several in a row that repeat together in order: all of the first, then all of the second).
// dtypes: `any`, or names joined by '|'; `real` is float32, bfloat16 or float16, the same one for all such inputs and
// outputs of a call, or inside of a net quantised numbers, each with a scale of its own; of an output, `real|float32`:
// infer says which of both. shape: `any` or `(dims)`; a dim is a letter or word (equal ones must be equal wherever they
// stand), a number, alternatives `4|5`, or a last `...`. The first dim of an output may be `~m`: as many rows as the
// run finds, the same for all outputs with that word (not for the parts of one that repeats).
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "d2deploy/tensor.h"

namespace d2deploy {

struct Dim {
  std::string symbol;                      // empty where the dimension is a number
  std::vector<std::int64_t> alternatives;  // empty where it is a symbol
  bool found_in_run = false;               // `~`
};

struct Port {
  std::string name;
  std::string dtype_text, shape_text, remark;
  std::vector<DType> dtypes;  // empty: any
  std::vector<Dim> dims;
  bool real = false;    // takes what `real` says
  bool chosen = false;  // `real|float32`
  bool any_shape = false;
  bool open_ended = false;  // ends in "..."
  bool optional = false;
  bool repeated = false;

  /// The word of a first dim `~word`; empty where that does not depend on the run.
  std::string_view rows_found() const {
    return !dims.empty() && dims[0].found_in_run ? dims[0].symbol : std::string_view();
  }
};

/// Throws InternalError where the text is not of the form above.
std::vector<Port> parse_ports(std::string_view text);

/// Throws InvalidArgument, with the operator's name and the port's, where `types` do not fit.
void check_inputs(std::string_view type, const std::vector<Port>& ports, std::span<const TensorType> types);
/// The element type of the inputs at `real` ports, int8 where any of them is quantised; nothing where there are none,
/// or whole numbers stand there. Throws InvalidArgument where they differ.
std::optional<DType> real_type(std::string_view type, const std::vector<Port>& ports,
                               std::span<const TensorType> types);

/// The port that each of `count` inputs or outputs belongs to. Their number must fit.
std::vector<const Port*> ports_of(const std::vector<Port>& ports, std::size_t count);
void check_output_count(std::string_view type, const std::vector<Port>& ports, std::size_t count);

}  // namespace d2deploy
