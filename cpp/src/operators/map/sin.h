#pragma once
#include <cmath>

#include "kernels/simt/host_device.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = the sine of X, in radians, element by element.
struct Sin {
  using Params = NoParams;
  static constexpr Signature signature{"Sin", "X: real any", "Y: real any like X", LayoutRule::follow, in_place};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
  SIMT_HOST_DEVICE static float of(const Params&, float x) { return std::sin(x); }
};

}  // namespace d2deploy
