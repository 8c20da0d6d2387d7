#pragma once
#include "operators/conv_transpose/conv_transpose.h"

namespace d2deploy {

/// A transposed convolution with a ReLU behind it: the upsampling of mask heads.
struct ConvTransposeRelu {
  using Params = ConvTransposeParams;
  static constexpr bool relu = true;
  static constexpr auto fields = ConvTranspose::fields;
  static constexpr Signature signature{"ConvTransposeRelu",
                                       "X: real (N, C, H, W) | W: float32 (C, K, kh, kw) filters | b: float32 (M)",
                                       "Y: real|float32 (N, M, H2, W2)", LayoutRule::any, heavy};
  static constexpr const char* meaning =
      "conv = ConvTranspose(X, W, b) {*}\n"
      "Y = Relu(conv)\n";
  static Types infer(const Params& p, const Inputs& in) { return ConvTranspose::infer("ConvTransposeRelu", p, in); }
  static double flops(const Params& p, const Inputs& in, const Types& out) { return ConvTranspose::flops(p, in, out); }
};

}  // namespace d2deploy
