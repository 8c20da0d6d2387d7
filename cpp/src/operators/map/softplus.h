#pragma once
#include <cmath>

#include "kernels/simt/host_device.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = ln(1 + exp(X)), element by element, without overflow.
struct Softplus {
  using Params = NoParams;
  static constexpr Signature signature{"Softplus", "X: real any", "Y: real any like X", LayoutRule::follow, in_place};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
  SIMT_HOST_DEVICE static float of(const Params&, float x) {
    return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
  }
};

}  // namespace d2deploy
