#pragma once
#include "operators/most_rows.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y[h, w] = X[h / scale, w / scale], rounded down: every cell becomes a square of scale x scale cells.
struct UpsampleNearest {
  struct Params {
    std::int64_t scale = 2;
  };
  static constexpr auto fields =
      std::array{field<&Params::scale>("scale", Bound::positive, "height and width of Y / those of X")};
  static constexpr Signature signature{"UpsampleNearest", "X: real (N, C, H, W)", "Y: real (N, C, H2, W2)",
                                       LayoutRule::any, keeps_range};

  static Types infer(const Params& p, const Inputs& in) {
    const Shape& x = in[0];
    for (const auto size : {x[2], x[3]})
      check(size <= INT32_MAX / p.scale, "UpsampleNearest: ", size, " times ", p.scale, " is above 2^31");
    return {f32({x[0], x[1], times(x[2], p.scale), times(x[3], p.scale)})};
  }
};

}  // namespace d2deploy
