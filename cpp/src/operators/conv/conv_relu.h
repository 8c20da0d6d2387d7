#pragma once
#include "operators/conv/conv.h"

namespace d2deploy {

/// A convolution with a ReLU behind it. Sums that are NaN stay NaN, but for oneDNN's kernels, where they become 0.
struct ConvRelu {
  using Params = ConvParams;
  static constexpr ConvTail tail{.relu = true};
  static constexpr auto fields = Conv::fields;
  static constexpr Signature signature{"ConvRelu",
                                       "X: real (N, C, H, W) | W: float32 (M, K, kh, kw) filters | b: float32 (M)",
                                       "Y: real|float32 (N, M, H2, W2)", LayoutRule::any, heavy};
  static constexpr const char* meaning =
      "conv = Conv(X, W, b) {*}\n"
      "Y = Relu(conv)\n";
  static Types infer(const Params& p, const Inputs& in) { return Conv::infer("ConvRelu", p, in); }
  static double flops(const Params& p, const Inputs& in, const Types& out) { return Conv::flops(p, in, out); }
};

}  // namespace d2deploy
