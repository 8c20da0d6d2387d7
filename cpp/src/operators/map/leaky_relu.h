#pragma once
#include "kernels/simt/host_device.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = X where X is positive, alpha X elsewhere; element by element.
struct LeakyRelu {
  struct Params {
    float alpha = 0.01F;
  };
  static constexpr auto fields = std::array{field<&Params::alpha>("alpha", Bound::any, "slope below 0")};
  static constexpr Signature signature{"LeakyRelu", "X: real any", "Y: real any like X", LayoutRule::follow, in_place};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
  SIMT_HOST_DEVICE static float of(const Params& p, float x) { return x > 0 ? x : p.alpha * x; }
};

}  // namespace d2deploy
