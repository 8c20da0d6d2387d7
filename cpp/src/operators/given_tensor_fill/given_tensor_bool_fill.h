#pragma once
#include "operators/given_tensor_fill/given_tensor_fill.h"

namespace d2deploy {

/// Y = the values that stand in the net itself, as bool.
struct GivenTensorBoolFill {
  using Params = GivenTensorParams;
  static constexpr auto fields = kGivenTensorFields;
  static constexpr Signature signature{"GivenTensorBoolFill", "", "Y: bool any"};
  static Types infer(const Params& p, const Inputs&) { return infer_given_tensor(signature.type, p); }
};

}  // namespace d2deploy
