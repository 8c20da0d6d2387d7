#pragma once
#include "operators/reduce_mean/reduction.h"

namespace d2deploy {

/// Y = the mean of X over some dimensions; NaN where those hold no element.
struct ReduceMean {
  using Params = ReductionParams;
  static constexpr auto fields = kReductionFields;
  static constexpr Signature signature{"ReduceMean", "X: float32 any", "Y: float32 any", LayoutRule::any};
  static Types infer(const Params& p, const Inputs& in) { return infer_reduction("ReduceMean", p, in); }

  static constexpr double kStart = 0;
  static constexpr double add(double sum, double x) { return sum + x; }
  static constexpr double finish(double sum, std::int64_t terms) { return sum / static_cast<double>(terms); }
};

}  // namespace d2deploy
