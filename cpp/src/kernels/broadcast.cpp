#include "kernels/broadcast.h"

namespace d2deploy {

namespace {

// Elements to walk per step along each of the output's dimensions.
Steps spread_steps(const TensorType& type, std::size_t offset) {
  const Steps own = steps(type);
  Steps out{};
  for (std::size_t d = 0; d < type.shape.rank(); ++d) out[offset + d] = type.shape[d] == 1 ? 0 : own[d];
  return out;
}

}  // namespace

Loops broadcast(const TensorType& out, const TensorType& a, std::size_t a_offset, const TensorType& b,
                std::size_t b_offset) {
  const Steps a_steps = spread_steps(a, a_offset), b_steps = spread_steps(b, b_offset);
  const auto order = memory_order(out);
  Loops loops;
  for (std::size_t i = 0; i < out.shape.rank(); ++i)
    loops.add(out.shape[order[i]], a_steps[order[i]], b_steps[order[i]]);
  if (loops.count == 0) loops.size[loops.count++] = 1;
  return loops;
}

}  // namespace d2deploy
