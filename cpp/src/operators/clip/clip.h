#pragma once
#include <limits>

#include "operators/operator.h"

namespace d2deploy {

/// Y = min(max(X, min), max), element by element; where min > max that is max. NaN stays NaN.
struct Clip {
  struct Params {
    float min = std::numeric_limits<float>::lowest();
    float max = std::numeric_limits<float>::max();
  };
  static constexpr auto fields = std::array{field<&Params::min>("min", Bound::any, "least value of Y"),
                                            field<&Params::max>("max", Bound::any, "greatest value of Y")};
  static constexpr Signature signature{"Clip", "X: float32 any", "Y: float32 any like X", LayoutRule::follow, in_place};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
};

}  // namespace d2deploy
