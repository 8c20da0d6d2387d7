#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y[i] = X[indices[i]], row by row.
struct BatchPermutation {
  using Params = NoParams;
  static constexpr Signature signature{"BatchPermutation", "X: any (N, ...) | indices: int32 (M), M = N",
                                       "Y: any any like X", LayoutRule::any};
  static void check_rows(std::int64_t rows, const Shape& indices) {
    check(indices[0] == rows, "BatchPermutation: indices must be (N) with N = ", rows, ", got ", indices);
  }
  static void check_index(std::int64_t i, std::int64_t index, std::int64_t rows) {
    check(index >= 0 && index < rows, "BatchPermutation: indices[", i, "] is ", index, ", must be in [0, ", rows, ")");
  }
  // Only the most rows may be known yet, and more of X than of the indices: the kernel checks that M = N.
  static Types infer(const Params&, const Inputs& in) {
    TensorType y = in.types[0];
    y.shape[0] = in[1][0];
    return {y};
  }
};

}  // namespace d2deploy
