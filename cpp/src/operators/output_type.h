// The element type of the outputs of heavy operators where their inputs are quantised.
#pragma once
#include "core/element_type.h"
#include "operators/sum_type.h"

namespace d2deploy {

/// Params that derive from it take its fields with `inherited`.
struct OutputTypeParams {
  std::string y_dtype;
  float y_scale = 0;
};
inline constexpr auto kOutputTypeFields =
    std::array{internal_field<&OutputTypeParams::y_dtype>("y_dtype", "element type of Y, int8 or uint8; empty: real"),
               internal_field<&OutputTypeParams::y_scale>("y_scale", "the number that a 1 in Y stands for")};

/// Of an operator that sums up products of X: as its arguments say, else float32 where X is quantised.
inline TensorType output_type(const char* operator_type, const std::string& dtype, const OutputTypeParams& p,
                              const TensorType& x, const Shape& shape) {
  TensorType type = f32(shape);
  if (p.y_dtype.empty()) {
    if (!is_quantised(x)) type.dtype = sum_type(operator_type, dtype, x.dtype);
    return type;
  }
  check<InternalError>(parse(p.y_dtype, type.dtype) && size_of(type.dtype) == 1 && p.y_scale > 0, operator_type,
                       ": y_dtype is '", p.y_dtype, "' with y_scale ", p.y_scale, ", wanted int8 or uint8 and a scale");
  type.scale = p.y_scale;
  return type;
}

}  // namespace d2deploy
