#pragma once
#include "operators/conv/conv.h"

namespace d2deploy {

/// A convolution with a tensor of its shape added: a residual connection, or the way down a feature pyramid.
struct ConvAdd {
  using Params = ConvParams;
  static constexpr ConvTail tail{.add = true};
  static constexpr auto fields = Conv::fields;
  static constexpr Signature signature{
      "ConvAdd", "X: real (N, C, H, W) | W: float32 (M, K, kh, kw) filters | b: float32 (M) | A: real (N, M, H2, W2)",
      "Y: real|float32 (N, M, H2, W2)", LayoutRule::any, heavy};
  static constexpr const char* meaning =
      "conv = Conv(X, W, b) {*}\n"
      "Y = Add(conv, A)\n";
  static Types infer(const Params& p, const Inputs& in) {
    const Types out = Conv::infer("ConvAdd", p, in);
    check_addend("ConvAdd", in[3], out[0].shape);
    return out;
  }
  static double flops(const Params& p, const Inputs& in, const Types& out) { return Conv::flops(p, in, out); }
};

}  // namespace d2deploy
