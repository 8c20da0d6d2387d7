#pragma once
#include <cmath>

#include "kernels/simt/host_device.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = X where X is positive, alpha (exp(X) - 1) elsewhere; element by element.
struct Elu {
  struct Params {
    float alpha = 1;
  };
  static constexpr auto fields =
      std::array{field<&Params::alpha>("alpha", Bound::any, "what Y tends to far below 0, negated")};
  static constexpr Signature signature{"Elu", "X: real any", "Y: real any like X", LayoutRule::follow, in_place};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
  SIMT_HOST_DEVICE static float of(const Params& p, float x) { return x > 0 ? x : p.alpha * std::expm1(x); }
};

}  // namespace d2deploy
