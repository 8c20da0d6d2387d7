#include "kernels/axis_runs.h"

#include <algorithm>
#include <cstring>

#include "core/threads.h"
#include "kernels/loops.h"

namespace d2deploy {

AxisRuns axis_runs(const TensorType& type, std::size_t axis) {
  const auto order = memory_order(type);
  AxisRuns runs{1, type.shape[axis], static_cast<std::int64_t>(size_of(type.dtype))};
  bool inside = false;
  for (std::size_t i = 0; i < type.shape.rank(); ++i) {
    if (order[i] == axis) {
      inside = true;
      continue;
    }
    (inside ? runs.run_bytes : runs.outer) *= type.shape[order[i]];
  }
  return runs;
}

void copy_chunks(const std::byte* x, std::int64_t x_stride, std::byte* y, std::int64_t y_stride,
                 std::int64_t chunk_bytes, std::int64_t count) {
  if (chunk_bytes == 0) return;
  if (x_stride == chunk_bytes && y_stride == chunk_bytes) {  // all of it is one
    chunk_bytes *= count;
    count = 1;
  }
  constexpr std::int64_t kGrainBytes = 1 << 17;
  parallel_for(chunk_bytes * count, kGrainBytes, [&](std::int64_t begin, std::int64_t end) {
    // A part may begin and end inside of a chunk.
    std::int64_t chunk = begin / chunk_bytes, at = begin % chunk_bytes;
    for (std::int64_t left = end - begin; left > 0; ++chunk, at = 0) {
      const std::int64_t bytes = std::min(chunk_bytes - at, left);
      std::memcpy(y + chunk * y_stride + at, x + chunk * x_stride + at, static_cast<std::size_t>(bytes));
      left -= bytes;
    }
  });
}

}  // namespace d2deploy
