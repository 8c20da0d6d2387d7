// The loops behind layer_norm.h in a form that compilers vectorise. Everything is in an unnamed namespace, and nothing
// is of the standard library: files for one instruction set include this.
#pragma once
#include "kernels/layer_norm.h"

namespace d2deploy {
namespace {

// The sum of (x - centre) to the power 1 or 2.
template <int power>
inline double sum_of_powers(const float* x, std::int64_t n, double centre) {
  constexpr std::int64_t kLanes = 16;
  const auto term = [centre](float value) {
    const double difference = static_cast<double>(value) - centre;
    return power == 1 ? difference : difference * difference;
  };
  double sum[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::int64_t k = 0; k < kLanes; ++k) sum[k] += term(x[i + k]);
  for (; i < n; ++i) sum[0] += term(x[i]);
  for (std::int64_t step = kLanes / 2; step > 0; step /= 2)
    for (std::int64_t k = 0; k < step; ++k) sum[k] += sum[k + step];
  return sum[0];
}

inline void normalise_rows(const LayerNormTask& task, std::int64_t begin, std::int64_t end) {
  const std::int64_t n = task.n;
  for (std::int64_t r = begin; r < end; ++r) {
    const float* x = task.x + r * n;
    float* y = task.y + r * n;
    const double mean = sum_of_powers<1>(x, n, 0) / static_cast<double>(n);
    const double variance = sum_of_powers<2>(x, n, mean) / static_cast<double>(n);
    const double deviation = __builtin_sqrt(variance + static_cast<double>(task.epsilon));
    // The mean in two parts: where it is far from 0, its rounding would be many of the differences' units.
    const auto shift = static_cast<float>(mean), scale = static_cast<float>(1 / deviation);
    const auto rest = static_cast<float>(mean - static_cast<double>(shift));
    if (task.gamma == nullptr) {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) y[i] = (x[i] - shift - rest) * scale;
    } else {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) y[i] = (x[i] - shift - rest) * scale * task.gamma[i] + task.beta[i];
    }
    if (task.mean != nullptr) task.mean[r] = shift;
    if (task.deviation != nullptr) task.deviation[r] = static_cast<float>(deviation);
  }
}

}  // namespace
}  // namespace d2deploy
