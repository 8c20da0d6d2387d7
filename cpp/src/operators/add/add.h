#pragma once
#include "operators/binary.h"

namespace d2deploy {

/// C = A + B, element by element.
struct Add {
  using Params = BinaryParams;
  static constexpr auto fields = kBinaryFields;
  static constexpr Signature signature{"Add", kBinaryInputs, kBinaryOutputs, LayoutRule::follow,
                                       commutative | in_place};
  static Types infer(const Params& p, const Inputs& in) { return infer_binary(signature.type, p, in); }
};

}  // namespace d2deploy
