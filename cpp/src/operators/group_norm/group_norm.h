#pragma once
#include "operators/operator.h"

namespace d2deploy {

struct GroupNormParams {
  std::int64_t group = 32;
  float epsilon = 1e-5F;
  std::string order = "NCHW";
  bool is_test = true;
};

/// Y = gamma (X - mean) / sqrt(variance + epsilon) + beta, with mean and biased variance of each image's groups of
/// neighbouring channels. The argument `eps` that exporters write is not `epsilon`: it has no effect, as in Caffe2.
struct GroupNorm {
  using Params = GroupNormParams;
  static constexpr bool relu = false;
  static constexpr auto fields = std::array{
      field<&Params::group>("group", Bound::positive, "groups of channels, all of one size"),
      field<&Params::epsilon>("epsilon", Bound::non_negative, "added to the variance"),
      field<&Params::order>("order", Bound::any, "order of the dimensions: NCHW"),
      field<&Params::is_test>("is_test", Bound::any, "0: training, which needs all three outputs (no effect)")};
  static constexpr Signature signature{
      "GroupNorm", "X: real (N, C, ...) | gamma: float32 (C) | beta: float32 (C)",
      "Y: real (N, C, ...) | mean?: float32 (N, G) | inv_std?: float32 (N, G) 1 / sqrt(variance + epsilon)",
      LayoutRule::any, in_place};

  static TensorType infer(const char* type, const Params& p, const Inputs& in) {
    check<Unsupported>(p.order == "NCHW", type, ": order '", p.order, "' is not available, wanted NCHW");
    const std::int64_t channels = in[0][1];
    check(channels == kUnknown || (channels >= p.group && channels % p.group == 0), type, ": X has ", channels,
          " channels, group=", p.group, " must divide them");
    return in.types[0];
  }
  static Types infer(const Params& p, const Inputs& in) {
    const TensorType moments = f32({in[0][0], p.group});
    return {infer("GroupNorm", p, in), moments, moments};
  }
};

}  // namespace d2deploy
