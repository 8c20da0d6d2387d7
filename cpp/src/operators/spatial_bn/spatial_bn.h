#pragma once
#include <cmath>

#include "kernels/simt/host_device.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = scale (X - mean) / sqrt(var + epsilon) + bias, with the numbers per channel that training left.
struct SpatialBN {
  struct Params {
    bool is_test = false;
    float epsilon = 1e-5F;
    float momentum = 0.9F;
    std::int64_t num_batches = 1;
    std::string order = "NCHW";
  };
  static constexpr auto fields = std::array{
      field<&Params::is_test>("is_test", Bound::any, "1: inference; 0: training, which is not available"),
      field<&Params::epsilon>("epsilon", Bound::non_negative, "added to var"),
      field<&Params::momentum>("momentum", Bound::any, "of the running mean in training (no effect)"),
      field<&Params::num_batches>("num_batches", Bound::any, "that training splits a batch into (no effect)"),
      field<&Params::order>("order", Bound::any, "order of the dimensions: NCHW")};
  static constexpr Signature signature{
      "SpatialBN",
      "X: float32 (N, C, ...) | scale: float32 (C) | bias: float32 (C) | mean: float32 (C) | var: float32 (C)",
      "Y: float32 (N, C, ...)", LayoutRule::any, in_place};

  static Types infer(const Params& p, const Inputs& in) {
    check<Unsupported>(p.is_test, "SpatialBN: is_test=0, training, is not available, wanted is_test=1");
    check<Unsupported>(p.order == "NCHW", "SpatialBN: order '", p.order, "' is not available, wanted NCHW");
    return {in.types[0]};
  }

  /// Y = scale X + shift for one channel: factor = scale / sqrt(var + epsilon), shift = bias - mean factor.
  struct Line {
    double factor, shift;
  };
  SIMT_HOST_DEVICE static Line line(float epsilon, float scale, float bias, float mean, float var) {
    const double variance = static_cast<double>(var) + static_cast<double>(epsilon);
    const double factor = static_cast<double>(scale) / std::sqrt(variance);
    return {factor, static_cast<double>(bias) - static_cast<double>(mean) * factor};
  }
};

}  // namespace d2deploy
