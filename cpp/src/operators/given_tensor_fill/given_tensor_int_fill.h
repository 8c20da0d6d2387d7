#pragma once
#include "operators/given_tensor_fill/given_tensor_fill.h"

namespace d2deploy {

/// Y = the values that stand in the net itself, as int32.
struct GivenTensorIntFill {
  using Params = GivenTensorParams;
  static constexpr auto fields = kGivenTensorFields;
  static constexpr Signature signature{"GivenTensorIntFill", "", "Y: int32 any"};
  static Types infer(const Params& p, const Inputs&) { return infer_given_tensor(signature.type, p); }
};

}  // namespace d2deploy
