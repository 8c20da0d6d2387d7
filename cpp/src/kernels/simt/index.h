// Where threads of GPUs find their elements.
#pragma once
#include "kernels/loops.h"
#include "kernels/simt/simt.h"

namespace d2deploy::simt {

/// i / n of numbers that are not negative; in 32 bits where they fit, which takes a GPU a quarter of the time.
SIMT_DEVICE inline std::int64_t quotient(std::int64_t i, std::int64_t n) {
  if ((i | n) >> 32 == 0) return static_cast<std::uint32_t>(i) / static_cast<std::uint32_t>(n);
  return i / n;
}

/// Nested loops over two tensors, as a kernel takes them.
struct DeviceLoops {
  int count;
  std::int64_t size[Shape::kMaxRank], a[Shape::kMaxRank], b[Shape::kMaxRank];

  explicit DeviceLoops(const Loops& loops) : count(static_cast<int>(loops.count)) {
    for (std::size_t d = 0; d < Shape::kMaxRank; ++d) {
      size[d] = loops.size[d];
      a[d] = loops.a[d];
      b[d] = loops.b[d];
    }
  }

  /// Where turn `index` stands in both.
  SIMT_DEVICE void find(std::int64_t index, std::int64_t& in_a, std::int64_t& in_b) const {
    in_a = in_b = 0;
    for (int d = count - 1; d >= 0; --d) {
      const std::int64_t outer = d == 0 ? 0 : quotient(index, size[d]), i = index - outer * size[d];
      in_a += i * a[d];
      in_b += i * b[d];
      index = outer;
    }
  }
};

}  // namespace d2deploy::simt
