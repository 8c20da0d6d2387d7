// What operators on shapes need: lists of integers that come as tensors, and sizes that may be unknown.
#pragma once
#include <algorithm>

#include "core/args.h"
#include "core/check.h"
#include "d2deploy/tensor.h"

namespace d2deploy {

/// The product of dimensions [first, last); kUnknown where one of them is.
inline std::int64_t known_size(const Shape& x, std::size_t first, std::size_t last) {
  const bool unknown = std::find(x.begin() + first, x.begin() + last, kUnknown) != x.begin() + last;
  return unknown ? kUnknown : x.size(first, last);
}
inline std::int64_t known_size(const Shape& x) { return known_size(x, 0, x.rank()); }

/// Whether two sizes may be the same, as far as they are known.
inline bool may_equal(std::int64_t a, std::int64_t b) { return a == b || a == kUnknown || b == kUnknown; }

/// Element i of an int32 or int64 tensor.
inline std::int64_t int_value(const Tensor& t, std::size_t i) {
  return t.dtype() == DType::int64 ? t.data<std::int64_t>()[i] : t.data<std::int32_t>()[i];
}
/// All of them.
inline Ints int_values(const Tensor& t) {
  Ints values(static_cast<std::size_t>(t.size()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = int_value(t, i);
  return values;
}

}  // namespace d2deploy
