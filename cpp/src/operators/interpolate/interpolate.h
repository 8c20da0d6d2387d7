#pragma once
#include <cmath>

#include "operators/operator.h"

namespace d2deploy {

/// Y = X stretched, as PyTorch's interpolate does it: to the size of L where that is given, else by the scales, rounded
/// down. Cell i of a row of Y lies at s (i + 1/2) - 1/2 of X, where s is 1 / scale or, with L, W / W2; columns alike.
/// "nearest" takes cell floor(s i), at most the last one; "bilinear" is linear between cells, and constant beyond the
/// first and the last one. With align_corners s is (W - 1) / (W2 - 1), 0 where W2 is 1, and cell i lies at s i.
/// An extension: the original Caffe2 has ResizeNearest and UpsampleBilinear alone, the latter with align_corners.
struct Interpolate {
  struct Params {
    float height_scale = 1;
    float width_scale = 1;
    std::string mode = "bilinear";
    bool align_corners = false;
  };
  static constexpr auto fields = std::array{
      field<&Params::height_scale>("height_scale", Bound::positive, "height of Y / height of X"),
      field<&Params::width_scale>("width_scale", Bound::positive, "width of Y / width of X"),
      field<&Params::mode>("mode", Bound::any, "nearest or bilinear"),
      field<&Params::align_corners>("align_corners", Bound::any, "1: the centres of the corner cells stay in place")};
  static constexpr Signature signature{"Interpolate", "X: real (N, C, H, W) | L?: any (M, K, H2, W2)",
                                       "Y: real (N, C, H2, W2)", LayoutRule::any, keeps_range};

  /// floor(size scale), in float32: 10 times 1.3 is 13, as in PyTorch, which has the scale in float64.
  static std::int64_t resized(std::int64_t size, float scale) {
    if (size == kUnknown) return kUnknown;
    const float out = static_cast<float>(size) * scale;
    check(size <= INT32_MAX && out < 0x1p+31F, "Interpolate: ", size, " times ", scale, " is above 2^31");
    return static_cast<std::int64_t>(out);
  }

  static Types infer(const Params& p, const Inputs& in) {
    check<InvalidModel>(p.mode == "nearest" || p.mode == "bilinear", "Interpolate: mode is '", p.mode,
                        "', must be nearest or bilinear");
    check<InvalidModel>(p.mode == "bilinear" || !p.align_corners,
                        "Interpolate: align_corners goes with bilinear alone");
    const Shape& x = in[0];
    Shape y{x[0], x[1], resized(x[2], p.height_scale), resized(x[3], p.width_scale)};
    if (in.size() > 1) y = {x[0], x[1], in[1][2], in[1][3]};
    check(!x.known() || !y.known() || y.size() == 0 || (x[2] != 0 && x[3] != 0),
          "Interpolate: X has no cells, its shape is ", x, ", Y has ", y);
    return {f32(y)};
  }
};

}  // namespace d2deploy
