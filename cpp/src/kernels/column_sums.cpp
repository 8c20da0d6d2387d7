#include "kernels/column_sums.h"

#include "kernels/instruction_sets.h"

namespace d2deploy {

ColumnSums column_sums() {
#if defined(__x86_64__)
  if (has_avx512()) return column_sums_avx512();
  if (has_avx2()) return column_sums_avx2();
#endif
  return {};
}

}  // namespace d2deploy
