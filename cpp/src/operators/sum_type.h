// The argument `dtype` of what sums up products: the type of the sums where it is not that of X.
#pragma once
#include "operators/operator.h"

namespace d2deploy {

template <auto kMember>
constexpr Field sum_type_field() {
  return field<kMember>("dtype", Bound::any, "element type of Y: float32; empty: that of X");
}

inline DType sum_type(const char* type, const std::string& dtype, DType x) {
  check<InvalidModel>(dtype.empty() || dtype == name(DType::float32), type, ": dtype is '", dtype,
                      "', must be float32 or empty");
  return dtype.empty() ? x : DType::float32;
}

}  // namespace d2deploy
