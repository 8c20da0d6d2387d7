// Softmax in a form that compilers vectorise: sums and maxima in lanes, in the same order whatever the instruction set.
// Everything is in an unnamed namespace, and nothing is of the standard library: files for one instruction set include
// this.
#pragma once
#include "kernels/exp.h"

namespace d2deploy {
namespace {

inline float largest_of(const float* x, std::int64_t n) {
  constexpr std::int64_t kLanes = 16;
  float most[kLanes];
  for (std::int64_t k = 0; k < kLanes; ++k) most[k] = x[0];
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::int64_t k = 0; k < kLanes; ++k) most[k] = x[i + k] > most[k] ? x[i + k] : most[k];
  for (; i < n; ++i) most[0] = x[i] > most[0] ? x[i] : most[0];
  for (std::int64_t k = 1; k < kLanes; ++k) most[0] = most[k] > most[0] ? most[k] : most[0];
  return most[0];
}

// In float64: thousands of small terms beside a large one.
inline double sum_of(const float* x, std::int64_t n) {
  constexpr std::int64_t kLanes = 8;
  double sum[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::int64_t k = 0; k < kLanes; ++k) sum[k] += static_cast<double>(x[i + k]);
  for (; i < n; ++i) sum[0] += static_cast<double>(x[i]);
  for (std::int64_t step = kLanes / 2; step > 0; step /= 2)
    for (std::int64_t k = 0; k < step; ++k) sum[k] += sum[k + step];
  return sum[0];
}

// The largest exponent is 0, so nothing overflows.
inline void softmax_rows(const float* x, std::int64_t rows, std::int64_t n, float* y) {
  for (std::int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const float largest = largest_of(x, n);
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = exp_of_minus_abs(x[i] - largest);
    const auto scale = static_cast<float>(1 / sum_of(y, n));
    for (std::int64_t i = 0; i < n; ++i) y[i] *= scale;
  }
}

}  // namespace
}  // namespace d2deploy
