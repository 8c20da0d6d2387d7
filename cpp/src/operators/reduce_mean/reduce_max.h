#pragma once
#include <limits>

#include "operators/reduce_mean/reduction.h"

namespace d2deploy {

/// Y = the largest element of X over some dimensions, NaN where one is NaN; the lowest finite number where those hold
/// no element.
struct ReduceMax {
  using Params = ReductionParams;
  static constexpr auto fields = kReductionFields;
  static constexpr Signature signature{"ReduceMax", "X: float32 any", "Y: float32 any", LayoutRule::any};
  static Types infer(const Params& p, const Inputs& in) { return infer_reduction("ReduceMax", p, in); }

  static constexpr double kStart = -std::numeric_limits<double>::infinity();
  static constexpr double add(double most, double x) { return x <= most || most != most ? most : x; }
  static constexpr double finish(double most, std::int64_t terms) {
    return terms > 0 ? most : static_cast<double>(std::numeric_limits<float>::lowest());
  }
};

}  // namespace d2deploy
