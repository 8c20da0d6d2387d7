#include "kernels/matmul.h"

#include <algorithm>

#include "core/threads.h"

namespace d2deploy {

namespace {

// A tile of b is copied once for many rows of a. It is padded with zeros to its full width, so that the sums of a row
// of it can stay in registers.
constexpr std::int64_t kRows = 64, kColumns = 32, kDepth = 128;
using Tile = float[kDepth][kColumns];

void copy_tile(const float* b, const MatrixSteps& steps, std::int64_t depth, std::int64_t columns, Tile& tile) {
  for (std::int64_t p = 0; p < depth; ++p) {
    for (std::int64_t j = 0; j < columns; ++j) tile[p][j] = b[p * steps.row + j * steps.column];
    std::fill(tile[p] + columns, tile[p] + kColumns, 0.0F);
  }
}

// y[0, columns) += the row of a times the tile.
void add_row(const float* a, std::int64_t a_step, std::int64_t depth, const Tile& tile, std::int64_t columns,
             float* y) {
  float sums[kColumns] = {};
  std::copy_n(y, columns, sums);
  for (std::int64_t p = 0; p < depth; ++p)
    for (std::int64_t j = 0; j < kColumns; ++j) sums[j] += a[p * a_step] * tile[p][j];
  std::copy_n(sums, columns, y);
}

void multiply_block(const MatmulShape& s, const MatmulData& data, const float* bias, std::int64_t row,
                    std::int64_t column) {
  const std::int64_t rows = std::min(kRows, s.m - row), columns = std::min(kColumns, s.n - column);
  for (std::int64_t i = row; i < row + rows; ++i)
    for (std::int64_t j = column; j < column + columns; ++j) data.y[i * s.n + j] = bias == nullptr ? 0.0F : bias[j];
  Tile tile;
  for (std::int64_t p = 0; p < s.k; p += kDepth) {
    const std::int64_t depth = std::min(kDepth, s.k - p);
    copy_tile(data.b + p * s.b.row + column * s.b.column, s.b, depth, columns, tile);
    for (std::int64_t i = row; i < row + rows; ++i)
      add_row(data.a + i * s.a.row + p * s.a.column, s.a.column, depth, tile, columns, data.y + i * s.n + column);
  }
}

}  // namespace

void multiply(const MatmulShape& s, std::span<const MatmulData> products, const float* bias) {
  if (products.empty() || s.m == 0 || s.n == 0) return;
  const std::int64_t down = (s.m + kRows - 1) / kRows, across = (s.n + kColumns - 1) / kColumns;
  const auto count = static_cast<std::int64_t>(products.size());
  const std::int64_t work = std::min(s.m, kRows) * kColumns * (s.k + 1);  // multiplications in a block
  parallel_for(count * down * across, (1 << 16) / std::max<std::int64_t>(work, 1) + 1,
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t t = begin; t < end; ++t)
                   multiply_block(s, products[static_cast<std::size_t>(t / (down * across))], bias,
                                  t / across % down * kRows, t % across * kColumns);
               });
}

}  // namespace d2deploy
