#pragma once
#include "operators/dims.h"
#include "operators/most_rows.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = X, but with values in the cells that are places: all channels of cell (i, j) where a place is i W + j. The
/// places of a row must differ. An extension: the original Caffe2 has no such operator.
struct PutPoints {
  using Params = NoParams;
  static constexpr Signature signature{
      "PutPoints",
      "X: float32 (R, C, H, W) | places: int32 (R, P) | values: float32 (R, C, H2, W2) H2 W2 = P, in reading order",
      "Y: float32 (R, C, H, W)", LayoutRule::follow};

  static void check_place(std::int64_t i, std::int64_t place, std::int64_t cells) {
    check(place >= 0 && place < cells, "PutPoints: places[", i, "] is ", place, ", must be in [0, ", cells, ")");
  }

  static Types infer(const Params&, const Inputs& in) {
    const std::int64_t values = known_size(in[2], 2, 4);
    check(may_equal(values, in[1][1]), "PutPoints: values ", in[2], " must be ", in[1][1],
          " cells, one for each place");
    return {in.types[0]};
  }
};

}  // namespace d2deploy
