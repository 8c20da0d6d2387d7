#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y[i] = X[indices[i]], row by row.
struct BatchPermutation {
  using Params = NoParams;
  static constexpr Signature signature{"BatchPermutation", "X: any (N, ...) | indices: int32 (N)", "Y: any any like X",
                                       spatial};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
};

}  // namespace d2deploy
