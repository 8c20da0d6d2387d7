#include "kernels/gelu.h"

#include "kernels/gelu_simd.h"

namespace d2deploy {

void gelu_f32_avx512(const float* x, std::int64_t n, float* y) { gelu_of_each(x, n, y); }

}  // namespace d2deploy
