#include "kernels/sigmoid.h"

#include "kernels/exp.h"

namespace d2deploy {

void sigmoid_f32_avx2(const float* x, std::int64_t n, float* y) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) y[i] = sigmoid(x[i]);
}

}  // namespace d2deploy
