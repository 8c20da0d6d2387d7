#pragma once
#include "operators/dims.h"
#include "operators/most_rows.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = X, but row indices[i] is slices[i]; of equal indices the last one counts.
struct ScatterAssign {
  using Params = NoParams;
  static constexpr Signature signature{"ScatterAssign", "X: any (N, ...) | indices: int32|int64 any | slices: any any",
                                       "Y: any any like X"};

  static void check_slices(const Shape& x, const Shape& indices, const Shape& slices) {
    const auto row = known_size(x, 1, x.rank()), count = known_size(indices), have = known_size(slices);
    const bool known = row != kUnknown && count != kUnknown && have != kUnknown;
    check(!known || have == times(count, row), "ScatterAssign: slices ", slices, " must hold ", count, " rows of X ",
          x);
  }

  static void check_index(std::int64_t i, std::int64_t index, std::int64_t rows) {
    check(index >= 0 && index < rows, "ScatterAssign: indices[", i, "] is ", index, ", must be in [0, ", rows, ")");
  }

  static Types infer(const Params&, const Inputs& in) {
    check(in.types[2].dtype == in.types[0].dtype, "ScatterAssign: slices are ", in.types[2].dtype, ", X is ",
          in.types[0].dtype);
    check_slices(in[0], in[1], in[2]);
    return {in.types[0]};
  }
};

}  // namespace d2deploy
