// The exponential function and what is made of it, in a form that compilers vectorise. Everything is in
// an unnamed namespace, and nothing is of the standard library: files for one instruction set include this.
#pragma once
#include <cstdint>

#include "kernels/simt/host_device.h"

namespace d2deploy {
namespace {

/// e^-|x|, within one unit in the last place, denormal results included; 0 for infinities, NaN for NaN.
///
/// -|x| = n ln 2 + r with |r| <= ln 2 / 2, so the result is 2^n e^r, and e^r = 1 + r + r^2 q(r), with q the
/// minimax polynomial of degree 4 for the relative error of e^r (0.05 units in the last place). Choices are
/// made on bits: a comparison of floats may trap, so that compilers would not vectorise it.
SIMT_HOST_DEVICE inline float exp_of_minus_abs(float x) {
  constexpr std::uint32_t kMagnitude = 0x7FFFFFFF, kInfinity = 0x7F800000;
  constexpr auto kMost = __builtin_bit_cast(std::uint32_t, 104.0F);  // e^-104 rounds to 0
  constexpr float kLog2E = 0x1.715476p+0F;
  constexpr float kLn2High = 0x1.62e4p-1F, kLn2Low = 0x1.7f7d1cp-20F;  // n * high is exact for |n| < 2^9
  constexpr float kRound = 0x1.8p+23F;  // adding it leaves the nearest integer in the low bits
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x) & kMagnitude;
  const std::uint32_t clamped = bits > kMost ? kMost : bits;
  const float a = __builtin_bit_cast(float, bits > kInfinity ? bits : clamped);
  const float shifted = kRound - a * kLog2E;
  const float n = shifted - kRound;
  const float r = -a - n * kLn2High - n * kLn2Low;
  float q = 0x1.6a2434p-10F;
  q = q * r + 0x1.1239e2p-7F;
  q = q * r + 0x1.5558f2p-5F;
  q = q * r + 0x1.555492p-3F;
  q = q * r + 0x1.fffffcp-2F;
  const float mantissa = q * (r * r) + r + 1.0F;
  // 2^n in two factors, so that results below the normal range come out right: n may be down to -150.
  const auto exponent =
      static_cast<std::int32_t>(__builtin_bit_cast(std::uint32_t, shifted) - __builtin_bit_cast(std::uint32_t, kRound));
  const std::int32_t half = exponent >> 1;
  const auto power = [](std::int32_t e) {
    return __builtin_bit_cast(float, (static_cast<std::uint32_t>(e) + 127U) << 23);
  };
  return mantissa * power(half) * power(exponent - half);
}

/// 1 / (1 + e^-x), within three units in the last place at both ends too: e^x / (1 + e^x) where x < 0.
SIMT_HOST_DEVICE inline float sigmoid(float x) {
  const float e = exp_of_minus_abs(x);
  const bool negative = __builtin_bit_cast(std::int32_t, x) < 0;
  const float numerator = __builtin_bit_cast(
      float, negative ? __builtin_bit_cast(std::uint32_t, e) : __builtin_bit_cast(std::uint32_t, 1.0F));
  return numerator / (1.0F + e);
}

}  // namespace
}  // namespace d2deploy
