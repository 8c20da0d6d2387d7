// How tensors are walked in nested loops: the steps between their elements, and loops over two of them at once.
#pragma once
#include <array>
#include <cstdint>

#include "d2deploy/tensor.h"

namespace d2deploy {

using Steps = std::array<std::int64_t, Shape::kMaxRank>;

/// The dimensions, from the outermost to the innermost in memory.
std::array<std::size_t, Shape::kMaxRank> memory_order(const TensorType& type);

/// Elements from one index to the next along each dimension.
Steps steps(const TensorType& type);

/// Nested loops over two tensors, outermost first. Loops that walk both evenly are one loop.
struct Loops {
  std::size_t count = 0;
  Steps size{}, a{}, b{};  ///< a, b: steps in the tensors, in elements; 0: read or written again

  void add(std::int64_t n, std::int64_t a_step, std::int64_t b_step) {
    if (n == 1) return;
    const std::size_t before = count - 1;
    if (count > 0 && a[before] == a_step * n && b[before] == b_step * n)
      size[before] *= n;
    else
      size[count++] = n;
    a[count - 1] = a_step;
    b[count - 1] = b_step;
  }

  constexpr std::int64_t total() const {
    std::int64_t product = 1;
    for (std::size_t d = 0; d < count; ++d) product *= size[d];
    return product;
  }

  struct Offsets {
    std::int64_t a, b;
  };
  /// Where turn `index` of the first `loops` loops stands in both.
  constexpr Offsets at(std::int64_t index, std::size_t loops) const {
    Offsets offsets{0, 0};
    for (std::size_t d = loops; d-- > 0; index /= size[d]) {
      offsets.a += index % size[d] * a[d];
      offsets.b += index % size[d] * b[d];
    }
    return offsets;
  }
};

}  // namespace d2deploy
