#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y = scale X + bias, with numbers per channel.
struct AffineChannel {
  struct Params {
    bool is_learnable = false;
    std::string order = "NCHW";
  };
  static constexpr auto fields = std::array{
      field<&Params::is_learnable>("is_learnable", Bound::any, "whether training changes scale and bias (no effect)"),
      field<&Params::order>("order", Bound::any, "order of the dimensions: NCHW")};
  static constexpr Signature signature{"AffineChannel",
                                       "X: float32 (N, C, ...) | scale: float32 (C) | bias: float32 (C)",
                                       "Y: float32 (N, C, ...)", LayoutRule::any, in_place};

  static Types infer(const Params& p, const Inputs& in) {
    check<Unsupported>(p.order == "NCHW", "AffineChannel: order '", p.order, "' is not available, wanted NCHW");
    return {in.types[0]};
  }
};

}  // namespace d2deploy
