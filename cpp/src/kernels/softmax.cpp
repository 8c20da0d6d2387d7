#include "kernels/softmax.h"

#include "kernels/instruction_sets.h"
#include "kernels/softmax_simd.h"

namespace d2deploy {

void softmax_f32(const float* x, std::int64_t rows, std::int64_t n, float* y) {
#if defined(__x86_64__)
  if (has_avx512()) return softmax_f32_avx512(x, rows, n, y);
  if (has_avx2()) return softmax_f32_avx2(x, rows, n, y);
#endif
  softmax_rows(x, rows, n, y);
}

}  // namespace d2deploy
