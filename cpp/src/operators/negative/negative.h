#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y = -X, element by element. Integers wrap around.
struct Negative {
  using Params = NoParams;
  static constexpr Signature signature{"Negative", "X: float32|int32|int64 any", "Y: float32|int32|int64 any like X",
                                       LayoutRule::follow, in_place};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
};

}  // namespace d2deploy
