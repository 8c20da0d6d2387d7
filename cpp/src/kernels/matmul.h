// Products of matrices whose elements may lie in any even steps, so that a transposed one needs no copy.
#pragma once
#include <cstdint>
#include <span>

namespace d2deploy {

struct MatrixSteps {
  std::int64_t row, column;  ///< elements from one to the next
};

/// y[i, j] = bias[j] + sum over p of a[i, p] b[p, j], for a (m, k), b (k, n), y (m, n) row-major.
struct MatmulShape {
  std::int64_t m, n, k;
  MatrixSteps a, b;
};
struct MatmulData {
  const float *a, *b;
  float* y;
};

/// All products are of one shape; bias may be null. Each sum is made in the order of p, whatever the threads.
void multiply(const MatmulShape& shape, std::span<const MatmulData> products, const float* bias);

}  // namespace d2deploy
