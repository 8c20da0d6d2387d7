#pragma once
#include "operators/own_class/own_class.h"

namespace d2deploy {

/// Of a convolution with filters of one cell, one for each class, each row's own class alone:
/// Y[r] = b[classes[r]] + sum over k of X[r, k] * W[classes[r], k]. Y is float32 and row-major,
/// whatever X is.
/// Internal: made by a pass, never written to a file.
struct OwnClassConv {
  using Params = NoParams;
  static constexpr Signature signature{
      "OwnClassConv",
      "X: real (R, K, H, W) | classes: float32 (R) | W: float32 (C, K, 1, 1) filter of each class | b: float32 (C)",
      "Y: float32 (R, 1, H, W)", LayoutRule::own, heavy};

  static Types infer(const Params&, const Inputs& in) { return {f32({in[0][0], 1, in[0][2], in[0][3]})}; }

  static double flops(const Params&, const Inputs& in, const Types& out) {
    return 2.0 * static_cast<double>(out[0].shape.size()) * static_cast<double>(in[2][1]);
  }
};

}  // namespace d2deploy
