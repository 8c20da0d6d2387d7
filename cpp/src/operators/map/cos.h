#pragma once
#include <cmath>

#include "kernels/simt/host_device.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = the cosine of X, in radians, element by element.
struct Cos {
  using Params = NoParams;
  static constexpr Signature signature{"Cos", "X: real any", "Y: real any like X", LayoutRule::follow, in_place};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
  SIMT_HOST_DEVICE static float of(const Params&, float x) { return std::cos(x); }
};

}  // namespace d2deploy
