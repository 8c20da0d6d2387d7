#pragma once
#include "operators/pool_window.h"

namespace d2deploy {

/// Y = the largest value under each window; cells of the padding do not count.
struct MaxPool {
  using Params = WindowParams;
  static constexpr auto fields = inherited<Params, WindowParams>(kWindowFields);
  static constexpr Signature signature{"MaxPool", "X: real (N, C, H, W)", "Y: real (N, C, H2, W2)", LayoutRule::any,
                                       keeps_range};

  static Window window(const Params& p, const Shape& x) { return pool_window("MaxPool", p, x); }

  static Types infer(const Params& p, const Inputs& in) {
    const Shape& x = in[0];
    const Window w = window(p, x);
    return {f32({x[0], x[1], w.out_h, w.out_w})};
  }
};

}  // namespace d2deploy
