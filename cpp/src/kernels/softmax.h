// Softmax over rows. Files for one instruction set include this: plain declarations only.
#pragma once
#include <cstdint>

namespace d2deploy {

/// y = exp(x - max x) / sum of exp(x - max x) of each of `rows` rows of n > 0 numbers. y may be x. What is not finite
/// in a row, but -infinity beside numbers that are, makes all of it NaN.
void softmax_f32(const float* x, std::int64_t rows, std::int64_t n, float* y);

/// What softmax_f32 calls where has_avx2() and has_avx512() are.
void softmax_f32_avx2(const float* x, std::int64_t rows, std::int64_t n, float* y);
void softmax_f32_avx512(const float* x, std::int64_t rows, std::int64_t n, float* y);

}  // namespace d2deploy
