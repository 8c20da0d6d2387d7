#pragma once
#include "operators/binary.h"

namespace d2deploy {

/// C = A - B, element by element.
struct Sub {
  using Params = BinaryParams;
  static constexpr auto fields = kBinaryFields;
  static constexpr Signature signature{"Sub", kBinaryInputs, kBinaryOutputs, LayoutRule::follow, in_place};
  static Types infer(const Params& p, const Inputs& in) { return infer_binary(signature.type, p, in); }
};

}  // namespace d2deploy
