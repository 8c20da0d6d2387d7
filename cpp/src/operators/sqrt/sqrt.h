#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y = the square root of X, element by element; NaN where X is negative.
struct Sqrt {
  using Params = NoParams;
  static constexpr Signature signature{"Sqrt", "X: float32 any", "Y: float32 any like X", LayoutRule::follow, in_place};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
};

}  // namespace d2deploy
