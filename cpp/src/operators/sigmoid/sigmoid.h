#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y = 1 / (1 + exp(-X)), element by element. NaN stays NaN.
struct Sigmoid {
  using Params = NoParams;
  static constexpr Signature signature{"Sigmoid", "X: float32 any", "Y: float32 any like X", LayoutRule::follow,
                                       in_place};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
};

}  // namespace d2deploy
