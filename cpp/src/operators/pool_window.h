// The window of MaxPool and AveragePool.
#pragma once
#include "operators/window_fields.h"

namespace d2deploy {

/// The window on the images X (N, C, H, W). `type` is the operator's. Padding is smaller than the window, as in Caffe2.
inline Window pool_window(const char* type, const WindowParams& p, const Shape& x) {
  const Window w = resolve(type, p, x[2], x[3]);
  check<Unsupported>(w.dilation_h == 1 && w.dilation_w == 1, type, ": dilations must be 1, got ", w.dilation_h, " and ",
                     w.dilation_w);
  const Window given = resolve(type, p);
  const bool small =
      given.pad_t < w.kernel_h && given.pad_b < w.kernel_h && given.pad_l < w.kernel_w && given.pad_r < w.kernel_w;
  check<InvalidModel>(p.global_pooling || small, type, ": pads must be smaller than kernels, got ",
                      to_text(Arg(Ints{given.pad_t, given.pad_l, given.pad_b, given.pad_r})), " with kernels ",
                      to_text(Arg(Ints{w.kernel_h, w.kernel_w})));
  return w;
}

}  // namespace d2deploy
