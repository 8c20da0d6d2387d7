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
  static constexpr auto fields = [] {
    const auto shared = [](const auto& f) {
      using T = std::remove_cvref_t<decltype(std::declval<BinaryParams&>().*f.member)>;
      return field(f.name, static_cast<T Params::*>(f.member), f.bound, f.doc);
    };
    return std::tuple_cat(
        std::tuple{field("exponent", &Params::exponent, Bound::any, "the power, where E is not given")},
        std::apply([&](const auto&... f) { return std::tuple{shared(f)...}; }, kBinaryFields));
  }();
  static constexpr Signature signature{"Pow", "X: float32 any | E?: float32 any",
                                       "Y: float32 any of X and E spread over each other", elementwise | in_place};

  static Types infer(const Params& p, const Inputs& in) {
    if (in.size() > 1) return infer_binary("Pow", p, in);
    check<InvalidModel>(!std::isnan(p.exponent), "Pow: neither the argument 'exponent' nor the input E is given");
    return {in.types[0]};
  }
};

}  // namespace d2deploy
