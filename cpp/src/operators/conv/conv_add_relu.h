#pragma once
#include "operators/conv/conv.h"

namespace d2deploy {

/// A convolution with a tensor of its shape added and a ReLU behind it: a residual block's end. NaN as in ConvRelu.
struct ConvAddRelu {
  using Params = ConvParams;
  static constexpr ConvTail tail{.add = true, .relu = true};
  static constexpr auto fields = Conv::fields;
  static constexpr Signature signature{
      "ConvAddRelu",
      "X: real (N, C, H, W) | W: float32 (M, K, kh, kw) filters | b: float32 (M) | A: real (N, M, H2, W2)",
      "Y: real|float32 (N, M, H2, W2)", LayoutRule::any, heavy};
  static constexpr const char* meaning =
      "conv = Conv(X, W, b) {*}\n"
      "sum = Add(conv, A)\n"
      "Y = Relu(sum)\n";
  static Types infer(const Params& p, const Inputs& in) {
    const Types out = Conv::infer("ConvAddRelu", p, in);
    check_addend("ConvAddRelu", in[3], out[0].shape);
    return out;
  }
  static double flops(const Params& p, const Inputs& in, const Types& out) { return Conv::flops(p, in, out); }
};

}  // namespace d2deploy
