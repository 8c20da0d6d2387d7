// Sums down the columns of maps that lie channels last. Files for one instruction set include this: plain
// declarations only.
#pragma once
#include <cstdint>

#include "d2deploy/dtype.h"

namespace d2deploy {

/// Of rows that lie `step` elements apart, and of each of their first columns: the sum of its numbers and that of
/// their squares, row after row in float64, whatever the instruction set.
struct ColumnSums {
  int columns = 0;  ///< how many at once
  void (*f32)(const float* x, std::int64_t rows, std::int64_t step, double* sums, double* squares) = nullptr;
  void (*bf16)(const BFloat16* x, std::int64_t rows, std::int64_t step, double* sums, double* squares) = nullptr;
};

/// The widest one that this CPU has; without functions where it has none.
ColumnSums column_sums();
ColumnSums column_sums_avx2();
ColumnSums column_sums_avx512();

}  // namespace d2deploy
