#pragma once
#include "operators/axis.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = exp(X) / sum of exp(X), where the sum runs over all dimensions from `axis` on, together.
struct Softmax {
  struct Params {
    std::int64_t axis = 1;
  };
  static constexpr auto fields =
      std::array{field<&Params::axis>("axis", Bound::any, "first dimension of the sum; negative counts from the end")};
  static constexpr Signature signature{"Softmax", "X: float32 any", "Y: float32 any like X", LayoutRule::row_major,
                                       in_place};

  static Types infer(const Params& p, const Inputs& in) {
    (void)canonical_axis("Softmax", p.axis, in[0].rank());
    return {in.types[0]};
  }
};

}  // namespace d2deploy
