#include "kernels/broadcast.h"

namespace d2deploy {

namespace {

using Steps = std::array<std::int64_t, Shape::kMaxRank>;

// Dimensions from the outermost to the innermost in memory.
std::array<std::size_t, Shape::kMaxRank> memory_order(const TensorType& type) {
  if (type.layout == Layout::channels_last) return {0, 2, 3, 1};
  return {0, 1, 2, 3, 4, 5, 6, 7};
}

// Elements to walk per step along each of the output's dimensions.
Steps steps(const TensorType& type, std::size_t offset) {
  Steps out{};
  const auto order = memory_order(type);
  std::int64_t step = 1;
  for (std::size_t i = type.shape.rank(); i-- > 0;) {
    const std::size_t d = order[i];
    out[offset + d] = type.shape[d] == 1 ? 0 : step;
    step *= type.shape[d];
  }
  return out;
}

}  // namespace

Broadcast Broadcast::of(const TensorType& out, const TensorType& a, std::size_t a_offset, const TensorType& b,
                        std::size_t b_offset) {
  const Steps a_steps = steps(a, a_offset), b_steps = steps(b, b_offset);
  const auto order = memory_order(out);
  Broadcast loops;
  for (std::size_t i = 0; i < out.shape.rank(); ++i) {
    const std::size_t d = order[i];
    const std::int64_t size = out.shape[d];
    if (size == 1) continue;
    const std::size_t before = loops.rank - 1;
    if (loops.rank > 0 && loops.a[before] == a_steps[d] * size && loops.b[before] == b_steps[d] * size) {
      loops.dims[before] *= size;
      loops.a[before] = a_steps[d];
      loops.b[before] = b_steps[d];
      continue;
    }
    loops.dims[loops.rank] = size;
    loops.a[loops.rank] = a_steps[d];
    loops.b[loops.rank++] = b_steps[d];
  }
  if (loops.rank == 0) loops.dims[loops.rank++] = 1;
  return loops;
}

}  // namespace d2deploy
