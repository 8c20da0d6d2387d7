// Arithmetic on sizes while types are inferred, where any of them may be kUnknown.
#pragma once
#include <algorithm>
#include <cstdint>

#include "core/arithmetic.h"
#include "d2deploy/tensor.h"

namespace d2deploy {

inline std::int64_t times(std::int64_t a, std::int64_t b) { return a < 0 || b < 0 ? kUnknown : checked_product(a, b); }
inline std::int64_t plus(std::int64_t a, std::int64_t b) { return a < 0 || b < 0 ? kUnknown : checked_sum(a, b); }
/// `rows`, but no more than `limit`; limits <= 0 do not limit.
inline std::int64_t limited(std::int64_t rows, std::int64_t limit) { return limit > 0 ? std::min(rows, limit) : rows; }

}  // namespace d2deploy
