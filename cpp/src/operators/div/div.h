#pragma once
#include "operators/binary.h"

namespace d2deploy {

/// C = A / B, element by element: IEEE division of floats, division towards 0 of integers.
struct Div {
  using Params = BinaryParams;
  static constexpr auto fields = kBinaryFields;
  static constexpr Signature signature{"Div", kBinaryInputs, kBinaryOutputs, LayoutRule::follow, in_place};
  static Types infer(const Params& p, const Inputs& in) { return infer_binary(signature.type, p, in); }
  static void check_divisor(bool other_than_0) { check(other_than_0, "Div: an integer is divided by 0"); }
};

}  // namespace d2deploy
