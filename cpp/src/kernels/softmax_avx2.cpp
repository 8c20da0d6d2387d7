#include "kernels/softmax.h"

#include "kernels/softmax_simd.h"

namespace d2deploy {

void softmax_f32_avx2(const float* x, std::int64_t rows, std::int64_t n, float* y) { softmax_rows(x, rows, n, y); }

}  // namespace d2deploy
