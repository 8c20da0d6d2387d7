#pragma once
#include "operators/adaptive_pool/adaptive_pool.h"

namespace d2deploy {

/// Y = the means of height x width bins that cover X: row i is the mean of rows floor(i H / height) to
/// ceil((i + 1) H / height) - 1, columns alike. An extension: the original Caffe2 has no such operator.
struct AdaptiveAveragePool {
  using Params = AdaptivePoolParams;
  static constexpr auto fields = kAdaptivePoolFields;
  static constexpr Signature signature{"AdaptiveAveragePool", kAdaptivePoolInputs, kAdaptivePoolOutputs,
                                       LayoutRule::any};
  static Types infer(const Params& p, const Inputs& in) { return infer_adaptive_pool("AdaptiveAveragePool", p, in); }

  static constexpr double kStart = 0;
  static constexpr double add(double sum, double x) { return sum + x; }
  static constexpr double finish(double sum, std::int64_t cells) { return sum / static_cast<double>(cells); }
};

}  // namespace d2deploy
