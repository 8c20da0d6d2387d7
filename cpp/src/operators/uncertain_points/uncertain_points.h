#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// The cells of each map that X is least certain of, `count` of them, or all where there are fewer, in reading order.
/// How certain it is: |X| where there is one channel, else by how much the largest channel is above the next one. It is
/// least certain where that is NaN; of cells that are as certain as each other, those that come first are taken.
/// Places are i W + j for cell (i, j), points ((j + 1/2) / W, (i + 1/2) / H).
/// An extension: the original Caffe2 has no such operator.
struct UncertainPoints {
  struct Params {
    std::int64_t count = 1;
  };
  static constexpr auto fields =
      std::array{field<&Params::count>("count", Bound::positive, "cells of each map, at most")};
  static constexpr Signature signature{"UncertainPoints", "X: float32 (R, C, H, W) logits",
                                       "places: int32 (R, P) | points: float32 (R, P, 2) x, y from 0 to 1",
                                       LayoutRule::any};

  static Types infer(const Params& p, const Inputs& in) {
    const Shape& x = in[0];
    check(x[1] != 0, "UncertainPoints: X has no channels, its shape is ", x);
    std::int64_t taken = kUnknown;
    if (x[2] != kUnknown && x[3] != kUnknown) {
      const std::int64_t cells = x.size(2, 4);
      check(cells <= INT32_MAX, "UncertainPoints: maps have ", cells, " cells, wanted less than 2^31");
      taken = std::min(cells, p.count);
    }
    return {i32({x[0], taken}), f32({x[0], taken, 2})};
  }
};

}  // namespace d2deploy
