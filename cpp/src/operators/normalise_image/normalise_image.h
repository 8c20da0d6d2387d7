#pragma once
#include "core/element_type.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = (X - mean) / std with numbers per channel, channels last, in any real type: what is done to a picture, in one
/// step.
/// Internal: made by a pass, never written to a file.
struct NormaliseImage {
  struct Params {
    std::string dtype = "float32";
  };
  static constexpr auto fields =
      std::array{field<&Params::dtype>("dtype", Bound::any, "element type of Y, a real one")};
  static constexpr Signature signature{"NormaliseImage",
                                       "X: float32 (N, C, H, W) | mean: float32 (C, 1, 1) | std: float32 (C, 1, 1)",
                                       "Y: any (N, C, H, W)", LayoutRule::own, internal};

  static Types infer(const Params& p, const Inputs& in) {
    TensorType y = in.types[0];
    check<InvalidModel>(parse(p.dtype, y.dtype) && is_real(y.dtype), signature.type, ": dtype is '", p.dtype,
                        "', must be float32, bfloat16 or float16");
    y.layout = Layout::channels_last;
    if (y.shape[1] == kUnknown) y.shape[1] = in.types[1].shape[0];
    return {y};
  }

  static std::string meaning(const Params& p, std::size_t) {
    return join("difference = Sub(X, mean)\nquotient = Div(difference, std)\n",
                "Y = Reorder(quotient) {to=channels_last dtype=", p.dtype, "}\n");
  }
};

}  // namespace d2deploy
