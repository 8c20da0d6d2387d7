// The first of many rows that something is wrong with, which a kernel reports.
#pragma once
#include "kernels/simt/simt.h"

namespace d2deploy::simt {

/// The first row < rows for which is_bad(row), or -1. For all threads of one block, of any shape.
template <class F>
SIMT_DEVICE std::int64_t first_row(std::int64_t rows, const F& is_bad) {
  using Row = unsigned long long;
  SIMT_SHARED(Row, first, 1);
  constexpr Row kNone = ~Row{0};
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
  if (thread == 0) first[0] = kNone;
  __syncthreads();
  for (std::int64_t row = thread; row < rows; row += threads)
    if (is_bad(row)) atomicMin(&first[0], static_cast<Row>(row));
  __syncthreads();
  const auto found = first[0] == kNone ? std::int64_t{-1} : static_cast<std::int64_t>(first[0]);
  __syncthreads();  // the next call writes it again
  return found;
}

}  // namespace d2deploy::simt
