#include "kernels/sigmoid.h"

#include "kernels/exp.h"
#include "kernels/instruction_sets.h"

namespace d2deploy {

void sigmoid_f32(const float* x, std::int64_t n, float* y) {
#if defined(__x86_64__)
  if (has_avx2()) return sigmoid_f32_avx2(x, n, y);
#endif
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) y[i] = sigmoid(x[i]);
}

}  // namespace d2deploy
