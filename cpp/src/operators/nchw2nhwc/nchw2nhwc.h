#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y = X with the channels as its last dimension. Other than Reorder this changes the shape, not the layout in memory.
struct NCHW2NHWC {
  using Params = NoParams;
  static constexpr Signature signature{"NCHW2NHWC", "X: any (N, C, ...)", "Y: any (N, ..., C)"};

  static Types infer(const Params&, const Inputs& in) {
    const Shape& x = in[0];
    Shape y{x[0]};
    for (std::size_t d = 2; d < x.rank(); ++d) y.push_back(x[d]);
    y.push_back(x[1]);
    return {{in.types[0].dtype, y, Layout::row_major}};
  }
};

}  // namespace d2deploy
