#pragma once
#include "core/element_type.h"
#include "core/fill.h"
#include "operators/operator.h"

namespace d2deploy {

/// Parameters of all fills that hold their values.
struct GivenTensorParams {
  Ints shape;
  Arg values = Ints();  ///< Ints or Floats
  std::int64_t dtype = 1;
};
inline constexpr auto kGivenTensorFields =
    std::array{field<&GivenTensorParams::shape>("shape", Bound::non_negative, "dimensions of Y; none: a scalar"),
               field<&GivenTensorParams::values>("values", Bound::any, "elements of Y in row-major order")};

/// Types of Y; checks that the values are as many as the shape wants.
Types infer_given_tensor(const char* type, const GivenTensorParams& p, DType dtype);
inline Types infer_given_tensor(const char* type, const GivenTensorParams& p) {
  return infer_given_tensor(type, p, given_tensor_dtype(type).value());
}

/// Y = the values that stand in the net itself; float64 ones come rounded to float32.
struct GivenTensorFill {
  using Params = GivenTensorParams;
  static constexpr auto fields = joined(
      kGivenTensorFields, std::array{field<&Params::dtype>(
                              "dtype", Bound::positive,
                              "Caffe2's number of Y's type: 1 FLOAT, 2 INT32, 5 BOOL, 6 UINT8, 10 INT64, 13 DOUBLE")});
  static constexpr Signature signature{"GivenTensorFill",     "",   "Y: any any",
                                       LayoutRule::row_major, none, "GivenTensorDoubleFill"};
  static Types infer(const Params& p, const Inputs&) {
    return infer_given_tensor(signature.type, p, fill_dtype(signature.type, p.dtype));
  }
};

}  // namespace d2deploy
