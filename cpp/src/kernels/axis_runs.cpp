#include "kernels/axis_runs.h"

#include <algorithm>
#include <cstring>

#include "core/threads.h"

namespace d2deploy {

AxisRuns axis_runs(const TensorType& type, std::size_t axis) {
  const Shape& s = type.shape;
  Shape memory = s;
  if (type.layout == Layout::channels_last) {
    memory = {s[0], s[2], s[3], s[1]};
    constexpr std::size_t kPlace[] = {0, 3, 1, 2};
    axis = kPlace[axis];
  }
  const auto element = static_cast<std::int64_t>(size_of(type.dtype));
  return {memory.size(0, axis), memory[axis], memory.size(axis + 1, memory.rank()) * element};
}

void copy_chunks(const std::byte* x, std::int64_t x_stride, std::byte* y, std::int64_t y_stride,
                 std::int64_t chunk_bytes, std::int64_t count) {
  if (chunk_bytes == 0) return;
  constexpr std::int64_t kGrainBytes = 1 << 17;
  parallel_for(chunk_bytes * count, kGrainBytes, [&](std::int64_t begin, std::int64_t end) {
    while (begin < end) {  // a part may begin and end inside of a chunk
      const std::int64_t chunk = begin / chunk_bytes, at = begin % chunk_bytes;
      const std::int64_t bytes = std::min(chunk_bytes - at, end - begin);
      std::memcpy(y + chunk * y_stride + at, x + chunk * x_stride + at, static_cast<std::size_t>(bytes));
      begin += bytes;
    }
  });
}

}  // namespace d2deploy
