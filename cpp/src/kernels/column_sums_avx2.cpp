#include "kernels/column_sums.h"

#include "kernels/column_sums_simd.h"

namespace d2deploy {

ColumnSums column_sums_avx2() { return {kVectors * 16 / 4, sum_columns<16, float>, sum_columns<16, BFloat16>}; }

}  // namespace d2deploy
