// The logistic function over an array. Files for one instruction set include this: plain declarations only.
#pragma once
#include <cstdint>

namespace d2deploy {

/// y[i] = 1 / (1 + exp(-x[i])), see exp.h. y may be x. The last one where has_avx512() is.
void sigmoid_f32(const float* x, std::int64_t n, float* y);
void sigmoid_f32_avx512(const float* x, std::int64_t n, float* y);
/// What sigmoid_f32 calls where has_avx2() is.
void sigmoid_f32_avx2(const float* x, std::int64_t n, float* y);

}  // namespace d2deploy
