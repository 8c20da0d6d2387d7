#pragma once
#include <limits>

#include "operators/adaptive_pool/adaptive_pool.h"

namespace d2deploy {

/// Y = the largest elements of height x width bins that cover X, which are those of AdaptiveAveragePool; NaN where one
/// is NaN. An extension: the original Caffe2 has no such operator.
struct AdaptiveMaxPool {
  using Params = AdaptivePoolParams;
  static constexpr auto fields = kAdaptivePoolFields;
  static constexpr Signature signature{"AdaptiveMaxPool", kAdaptivePoolInputs, kAdaptivePoolOutputs, LayoutRule::any};
  static Types infer(const Params& p, const Inputs& in) { return infer_adaptive_pool("AdaptiveMaxPool", p, in); }

  static constexpr double kStart = -std::numeric_limits<double>::infinity();
  static constexpr double add(double most, double x) { return x <= most || most != most ? most : x; }
  static constexpr double finish(double most, std::int64_t) { return most; }
};

}  // namespace d2deploy
