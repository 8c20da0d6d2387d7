// Sums and products of sizes that come from a file, from arguments or from inputs: they may be anything.
#pragma once
#include <cstdint>

#include "core/check.h"

namespace d2deploy {

/// a + b. Throws InvalidArgument where that does not fit into 64 bits.
inline std::int64_t checked_sum(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  check(!__builtin_add_overflow(a, b, &sum), "the sum of the sizes ", a, " and ", b, " is above 2^63");
  return sum;
}

/// a * b. Throws InvalidArgument where that does not fit into 64 bits.
inline std::int64_t checked_product(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  check(!__builtin_mul_overflow(a, b, &product), "the product of the sizes ", a, " and ", b, " is above 2^63");
  return product;
}

}  // namespace d2deploy
