#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y = scale (X - mean) / sqrt(variance + epsilon) + bias, with mean and biased variance of each channel of each image.
struct InstanceNorm {
  struct Params {
    float epsilon = 1e-5F;
    std::string order = "NCHW";
  };
  static constexpr auto fields =
      std::array{field<&Params::epsilon>("epsilon", Bound::non_negative, "added to the variance"),
                 field<&Params::order>("order", Bound::any, "order of the dimensions: NCHW")};
  static constexpr Signature signature{
      "InstanceNorm", "X: float32 (N, C, ...) | scale: float32 (C) | bias: float32 (C)",
      "Y: float32 (N, C, ...) | mean?: float32 (N, C) | inv_std?: float32 (N, C) 1 / sqrt(variance + epsilon)",
      LayoutRule::any, in_place};

  static Types infer(const Params& p, const Inputs& in) {
    check<Unsupported>(p.order == "NCHW", "InstanceNorm: order '", p.order, "' is not available, wanted NCHW");
    const TensorType moments = f32({in[0][0], in[0][1]});
    return {in.types[0], moments, moments};
  }
};

}  // namespace d2deploy
