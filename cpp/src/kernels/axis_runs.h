// Tensors seen along one dimension, as they lie in memory, and copies of parts of them.
#pragma once
#include <cstddef>
#include <cstdint>

#include "d2deploy/tensor.h"

namespace d2deploy {

/// `outer` blocks, one after the other, of `length` runs each; a run is contiguous and belongs to one index.
struct AxisRuns {
  std::int64_t outer, length, run_bytes;
  std::int64_t block_bytes() const { return length * run_bytes; }
};
AxisRuns axis_runs(const TensorType& type, std::size_t axis);

/// Copies `count` chunks that begin x_stride bytes apart in x, and y_stride in y.
void copy_chunks(const std::byte* x, std::int64_t x_stride, std::byte* y, std::int64_t y_stride,
                 std::int64_t chunk_bytes, std::int64_t count);

}  // namespace d2deploy
