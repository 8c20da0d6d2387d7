#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y = the inputs added up, from the first to the last; all of one shape. Integers wrap around.
struct Sum {
  using Params = NoParams;
  static constexpr Signature signature{"Sum", "X*: real|int32|int64 any", "Y: real|int32|int64 any like X",
                                       LayoutRule::follow, in_place};

  static Types infer(const Params&, const Inputs& in) {
    TensorType y = in.types[0];
    for (std::size_t i = 1; i < in.size(); ++i) {
      check(in.types[i].dtype == y.dtype, "Sum: input ", i, " is ", in.types[i].dtype, ", the first is ", y.dtype);
      bool fits = in[i].rank() == y.shape.rank();
      for (std::size_t d = 0; fits && d < y.shape.rank(); ++d) {
        if (y.shape[d] == kUnknown) y.shape[d] = in[i][d];
        fits = in[i][d] == y.shape[d] || in[i][d] == kUnknown;
      }
      check(fits, "Sum: input ", i, " is ", in[i], ", the first is ", in[0], ", must be the same");
    }
    return {y};
  }
};

}  // namespace d2deploy
