#pragma once
#include <cmath>
#include <limits>

#include "operators/binary.h"

namespace d2deploy {

/// Y = X to the power of `exponent`, or of E where that is given; element by element, E spread over X as in Add.
struct Pow {
  struct Params : BinaryParams {
    float exponent = std::numeric_limits<float>::quiet_NaN();  // not given
  };
  static constexpr auto fields =
      joined(std::array{field<&Params::exponent>("exponent", Bound::any, "the power, where E is not given")},
             inherited<Params, BinaryParams>(kBinaryFields));
  static constexpr Signature signature{"Pow", "X: float32 any | E?: float32 any",
                                       "Y: float32 any of X and E spread over each other", LayoutRule::follow,
                                       in_place};

  static Types infer(const Params& p, const Inputs& in) {
    if (in.size() > 1) return infer_binary("Pow", p, in);
    check<InvalidModel>(!std::isnan(p.exponent), "Pow: neither the argument 'exponent' nor the input E is given");
    return {in.types[0]};
  }
};

}  // namespace d2deploy
