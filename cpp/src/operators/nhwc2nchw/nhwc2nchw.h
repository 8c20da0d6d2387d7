#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y = X with its last dimension, the channels, as the second. Other than Reorder this changes the shape, not the
/// layout in memory.
struct NHWC2NCHW {
  using Params = NoParams;
  static constexpr Signature signature{"NHWC2NCHW", "X: any (N, H, ...) channels last", "Y: any (N, C, ...)"};

  static Types infer(const Params&, const Inputs& in) {
    const Shape& x = in[0];
    Shape y{x[0], x[x.rank() - 1]};
    for (std::size_t d = 1; d + 1 < x.rank(); ++d) y.push_back(x[d]);
    return {{in.types[0].dtype, y, Layout::row_major}};
  }
};

}  // namespace d2deploy
