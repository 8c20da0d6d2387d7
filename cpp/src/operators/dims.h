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

/// The elements of an int32 or int64 tensor.
inline Ints int_values(const Tensor& t) {
  if (t.dtype() == DType::int64) return Ints(t.values<std::int64_t>().begin(), t.values<std::int64_t>().end());
  return Ints(t.values<std::int32_t>().begin(), t.values<std::int32_t>().end());
}

}  // namespace d2deploy
