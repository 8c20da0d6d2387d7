#include "kernels/loops.h"

namespace d2deploy {

std::array<std::size_t, Shape::kMaxRank> memory_order(const TensorType& type) {
  if (type.layout == Layout::channels_last) return {0, 2, 3, 1};
  return {0, 1, 2, 3, 4, 5, 6, 7};
}

Steps steps(const TensorType& type) {
  Steps out{};
  const auto order = memory_order(type);
  std::int64_t step = 1;
  for (std::size_t i = type.shape.rank(); i-- > 0;) {
    out[order[i]] = step;
    step *= type.shape[order[i]];
  }
  return out;
}

}  // namespace d2deploy
