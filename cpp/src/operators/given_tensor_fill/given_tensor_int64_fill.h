#pragma once
#include "operators/given_tensor_fill/given_tensor_fill.h"

namespace d2deploy {

/// Y = the values that stand in the net itself, as int64.
struct GivenTensorInt64Fill {
  using Params = GivenTensorParams;
  static constexpr auto fields = kGivenTensorFields;
  static constexpr Signature signature{"GivenTensorInt64Fill", "", "Y: int64 any"};
  static Types infer(const Params& p, const Inputs&) { return infer_given_tensor(signature.type, p); }
};

}  // namespace d2deploy
