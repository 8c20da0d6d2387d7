#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y = e to the power of X, element by element.
struct Exp {
  using Params = NoParams;
  static constexpr Signature signature{"Exp", "X: float32 any", "Y: float32 any like X", LayoutRule::follow, in_place};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
};

}  // namespace d2deploy
