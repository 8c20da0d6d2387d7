// GELU in a form that compilers vectorise. Everything is in an unnamed namespace, and nothing is of the standard
// library: files for one instruction set include this.
#pragma once
#include "kernels/exp.h"

namespace d2deploy {
namespace {

/// x erfc(-x / sqrt(2)) / 2, within a few units in the last place where the result is not below 1e-30.
///
/// erfc(a) = e^(-a^2) t q(t) with t = 1 / (1 + a / 2), and q the polynomial of degree 9 that is nearest to this for the
/// relative error (3e-8) from 0 to 11, where erfc is below the smallest number.
SIMT_HOST_DEVICE inline float gelu(float x) {
  constexpr float kRootOfHalf = 0x1.6a09e6p-1F;
  const float a = __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, x) & 0x7FFFFFFFU) * kRootOfHalf;
  const float t = 1.0F / (1.0F + 0.5F * a);
  float q = 0x1.35109p-7F;
  q = q * t - 0x1.bb24dap-4F;
  q = q * t + 0x1.9417c2p-2F;
  q = q * t - 0x1.407baap-1F;
  q = q * t + 0x1.8b702cp-2F;
  q = q * t - 0x1.49571p-4F;
  q = q * t + 0x1.c1f4aap-3F;
  q = q * t + 0x1.eb22c6p-3F;
  q = q * t + 0x1.218344p-2F;
  q = q * t + 0x1.20d71cp-2F;
  const float below = 0.5F * (t * q) * exp_of_minus_abs(a * a);  // of the distribution, beyond |x|
  const bool negative = __builtin_bit_cast(std::int32_t, x) < 0;
  const float share = __builtin_bit_cast(
      float, negative ? __builtin_bit_cast(std::uint32_t, below) : __builtin_bit_cast(std::uint32_t, 1.0F - below));
  return x * share;
}

inline void gelu_of_each(const float* x, std::int64_t n, float* y) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) y[i] = gelu(x[i]);
}

}  // namespace
}  // namespace d2deploy
