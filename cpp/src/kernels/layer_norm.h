// Normalisation of rows. Files for one instruction set include this: plain declarations only.
#pragma once
#include <cstdint>

namespace d2deploy {

/// Rows of n numbers one behind the other.
struct LayerNormTask {
  std::int64_t n;
  float epsilon;
  const float *x, *gamma, *beta;  ///< gamma and beta, n of each, may both be null: 1 and 0
  float* y;                       ///< may be x
  float *mean, *deviation;        ///< of each row; may be null
};

/// y = (x - mean) / sqrt(variance + epsilon) gamma + beta for the rows from `begin` to `end`. Sums are in float64, in
/// the same order whatever the instruction set, and the variance is that of differences.
void layer_norm(const LayerNormTask& task, std::int64_t begin, std::int64_t end);

/// What layer_norm calls where has_avx2() and has_avx512() are.
void layer_norm_avx2(const LayerNormTask& task, std::int64_t begin, std::int64_t end);
void layer_norm_avx512(const LayerNormTask& task, std::int64_t begin, std::int64_t end);

}  // namespace d2deploy
