// GELU over an array. Files for one instruction set include this: plain declarations only.
#pragma once
#include <cstdint>

namespace d2deploy {

/// y[i] = x[i] erfc(-x[i] / sqrt(2)) / 2, see gelu_simd.h. y may be x.
void gelu_f32(const float* x, std::int64_t n, float* y);

/// What gelu_f32 calls where has_avx2() and has_avx512() are.
void gelu_f32_avx2(const float* x, std::int64_t n, float* y);
void gelu_f32_avx512(const float* x, std::int64_t n, float* y);

}  // namespace d2deploy
