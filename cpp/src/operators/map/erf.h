#pragma once
#include <cmath>

#include "kernels/simt/host_device.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = the error function of X, element by element: 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to X.
struct Erf {
  using Params = NoParams;
  static constexpr Signature signature{"Erf", "X: real any", "Y: real any like X", LayoutRule::follow, in_place};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
  SIMT_HOST_DEVICE static float of(const Params&, float x) { return std::erf(x); }
};

}  // namespace d2deploy
