#pragma once
#include "operators/pool_window.h"

namespace d2deploy {

/// Y = the mean of the cells under each window. Those of the padding do not count, or count as 0 with
/// count_include_pad: then the sum is divided by the window's size, wherever the window lies.
struct AveragePool {
  struct Params : WindowParams {
    bool count_include_pad = false;
  };
  static constexpr auto fields =
      joined(inherited<Params, WindowParams>(kWindowFields),
             std::array{field<&Params::count_include_pad>("count_include_pad", Bound::any,
                                                          "1: cells of the padding count, as 0; 0: they do not")});
  static constexpr Signature signature{"AveragePool", "X: real (N, C, H, W)", "Y: real (N, C, H2, W2)", LayoutRule::any,
                                       keeps_range};

  static Types infer(const Params& p, const Inputs& in) {
    const Shape& x = in[0];
    const Window w = pool_window("AveragePool", p, x);
    return {f32({x[0], x[1], w.out_h, w.out_w})};
  }
};

}  // namespace d2deploy
