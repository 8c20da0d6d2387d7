#pragma once
#include <cmath>

#include "kernels/gelu_simd.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = X times the normal distribution function of X, element by element: X erfc(-X / sqrt(2)) / 2. With fast_gelu
/// X (1 + tanh(sqrt(2 / pi) (X + 0.044715 X^3))) / 2.
struct Gelu {
  struct Params {
    bool fast_gelu = false;
  };
  static constexpr auto fields =
      std::array{field<&Params::fast_gelu>("fast_gelu", Bound::any, "1: the approximation by a hyperbolic tangent")};
  static constexpr Signature signature{"Gelu", "X: real any", "Y: real any like X", LayoutRule::follow, in_place};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
  SIMT_HOST_DEVICE static float of(const Params& p, float x) {
    constexpr float kRootOfTwoByPi = 0.79788456F;
    if (p.fast_gelu) return 0.5F * x * (1 + std::tanh(kRootOfTwoByPi * (x + 0.044715F * x * x * x)));
    return gelu(x);
  }
};

}  // namespace d2deploy
