#include "kernels/column_sums.h"

#include "kernels/column_sums_simd.h"

namespace d2deploy {

ColumnSums column_sums_avx512() { return {kVectors * 32 / 4, sum_columns<32, float>, sum_columns<32, BFloat16>}; }

}  // namespace d2deploy
