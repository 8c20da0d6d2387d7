#pragma once
#include "operators/reduce_mean/reduction.h"

namespace d2deploy {

/// Y = the sum of X over some dimensions; 0 where those hold no element.
struct ReduceSum {
  using Params = ReductionParams;
  static constexpr auto fields = kReductionFields;
  static constexpr Signature signature{"ReduceSum", "X: float32 any", "Y: float32 any", LayoutRule::any};
  static Types infer(const Params& p, const Inputs& in) { return infer_reduction("ReduceSum", p, in); }

  static constexpr double kStart = 0;
  static constexpr double add(double sum, double x) { return sum + x; }
  static constexpr double finish(double sum, std::int64_t) { return sum; }
};

}  // namespace d2deploy
