#include "kernels/gelu.h"

#include "kernels/gelu_simd.h"
#include "kernels/instruction_sets.h"

namespace d2deploy {

void gelu_f32(const float* x, std::int64_t n, float* y) {
#if defined(__x86_64__)
  if (has_avx512()) return gelu_f32_avx512(x, n, y);
  if (has_avx2()) return gelu_f32_avx2(x, n, y);
#endif
  gelu_of_each(x, n, y);
}

}  // namespace d2deploy
