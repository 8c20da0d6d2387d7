#pragma once
#include "operators/dims.h"
#include "operators/operator.h"

namespace d2deploy {

/// Of each row the channel of its class: Y[r] = X[r, classes[r]], the class without its fraction.
/// An extension: the original Caffe2 has no such operator.
struct OwnClass {
  using Params = NoParams;
  static constexpr Signature signature{"OwnClass", "X: real (R, C, H, W) | classes: float32 (R)",
                                       "Y: real (R, 1, H, W)", LayoutRule::any, keeps_range};

  static Types infer(const Params&, const Inputs& in) { return {f32({in[0][0], 1, in[0][2], in[0][3]})}; }
};

/// The class of a row, checked to be one of `classes`; `type` is the operator's.
inline std::int64_t own_class(const char* type, float value, std::int64_t row, std::int64_t classes) {
  check(value >= 0 && value < static_cast<float>(classes), type, ": row ", row, " is of class ", value, ", there are ",
        classes);
  return static_cast<std::int64_t>(value);
}
/// That there is a class for each row.
inline void check_class_of_each_row(const char* type, const Call& call) {
  const std::int64_t rows = call.input(0).dim(0);
  check(call.input(1).dim(0) == rows, type, ": classes must be (R) with R = ", rows, ", got ", call.input(1).shape());
}

}  // namespace d2deploy
