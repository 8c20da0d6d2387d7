#pragma once
#include "operators/group_norm/group_norm.h"

namespace d2deploy {

/// A GroupNorm with a ReLU behind it.
struct GroupNormRelu {
  using Params = GroupNormParams;
  static constexpr bool relu = true;
  static constexpr auto fields = GroupNorm::fields;
  static constexpr Signature signature{"GroupNormRelu", "X: real (N, C, ...) | gamma: float32 (C) | beta: float32 (C)",
                                       "Y: real (N, C, ...)", LayoutRule::any, in_place};
  static constexpr const char* meaning =
      "normal = GroupNorm(X, gamma, beta) {*}\n"
      "Y = Relu(normal)\n";
  static Types infer(const Params& p, const Inputs& in) { return {GroupNorm::infer("GroupNormRelu", p, in)}; }
};

}  // namespace d2deploy
