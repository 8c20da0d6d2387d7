#pragma once
#include "operators/window_fields.h"

namespace d2deploy {

/// Y = the largest value under each window; cells of the padding do not count.
struct MaxPool {
  using Params = WindowParams;
  static constexpr auto fields = window_fields<Params>();
  static constexpr Signature signature{"MaxPool", "X: float32 (N, C, H, W)", "Y: float32 (N, C, H2, W2)", spatial};

  static Window window(const Params& p, const Shape& x) {
    const Window w = resolve("MaxPool", p, x[2], x[3]);
    check<Unsupported>(w.dilation_h == 1 && w.dilation_w == 1, "MaxPool: dilations must be 1, got ", w.dilation_h,
                       " and ", w.dilation_w);
    const Window given = resolve("MaxPool", p);
    const bool small =
        given.pad_t < w.kernel_h && given.pad_b < w.kernel_h && given.pad_l < w.kernel_w && given.pad_r < w.kernel_w;
    check<InvalidModel>(p.global_pooling || small, "MaxPool: pads must be smaller than kernels, got ",
                        to_text(Arg(Ints{given.pad_t, given.pad_l, given.pad_b, given.pad_r})), " with kernels ",
                        to_text(Arg(Ints{w.kernel_h, w.kernel_w})));
    return w;
  }

  static Types infer(const Params& p, const Inputs& in) {
    const Shape& x = in[0];
    const Window w = window(p, x);
    return {f32({x[0], x[1], w.out_h, w.out_w})};
  }
};

}  // namespace d2deploy
