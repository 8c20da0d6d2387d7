#pragma once
#include "operators/deform_conv/deform_conv.h"

namespace d2deploy {

/// A deformable convolution with a ReLU behind it.
struct DeformConvRelu {
  using Params = DeformConvParams;
  static constexpr bool relu = true;
  static constexpr auto fields = DeformConv::fields;
  static constexpr Signature signature{"DeformConvRelu",
                                       "X: real (N, C, H, W) | offset: float32 (N, D, H2, W2) | W: float32 (M, K, kh, "
                                       "kw) filters | b: float32 (M) | mask?: float32 (N, E, H2, W2)",
                                       "Y: real (N, M, H2, W2)", LayoutRule::any, heavy};
  static std::string meaning(const Params&, std::size_t inputs) {
    return inputs > 4 ? "conv = DeformConv(X, offset, W, b, mask) {*}\nY = Relu(conv)\n"
                      : "conv = DeformConv(X, offset, W, b) {*}\nY = Relu(conv)\n";
  }
  static Types infer(const Params& p, const Inputs& in) { return DeformConv::infer("DeformConvRelu", p, in); }
  static double flops(const Params& p, const Inputs& in, const Types& out) { return DeformConv::flops(p, in, out); }
};

}  // namespace d2deploy
