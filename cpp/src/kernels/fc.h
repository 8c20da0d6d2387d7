// Fully connected layers: a matrix product with a bias.
#pragma once
#include <cstdint>

namespace d2deploy {

/// y[m, n] = b[n] + sum over k of x[m, k] w[n, k], for x (rows, depth), w (columns, depth); below 0 becomes
/// 0 with `relu`. Each sum is made in the same order however many rows and threads there are.
void fully_connected(const float* x, const float* w, const float* b, std::int64_t rows, std::int64_t columns,
                     std::int64_t depth, bool relu, float* y);

}  // namespace d2deploy
