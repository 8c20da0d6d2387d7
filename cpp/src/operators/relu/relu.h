#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y = max(X, 0), element by element. NaN stays NaN.
struct Relu {
  using Params = NoParams;
  static constexpr Signature signature{"Relu", "X: real any", "Y: real any like X", LayoutRule::follow,
                                       in_place | keeps_range};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
};

}  // namespace d2deploy
