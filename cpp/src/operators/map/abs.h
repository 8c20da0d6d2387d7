#pragma once
#include <cmath>

#include "operators/operator.h"

namespace d2deploy {

/// Y = |X|, element by element.
struct Abs {
  using Params = NoParams;
  static constexpr Signature signature{"Abs", "X: real any", "Y: real any like X", LayoutRule::follow, in_place};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
  static float of(const Params&, float x) { return std::fabs(x); }
};

}  // namespace d2deploy
