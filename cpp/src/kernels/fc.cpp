#include "kernels/fc.h"

#include <algorithm>

#include "core/threads.h"

namespace d2deploy {

namespace {

// A sum is kept in kLanes partial sums (element k goes to lane k % kLanes), which compilers turn into vector
// registers, for kDepth elements; these are added in float64. All tile sizes thus give the same result.
constexpr std::int64_t kLanes = 8, kDepth = 512;

template <int R, int C>
void dot_tile(const float* x, const float* w, std::int64_t depth, double (&sums)[R][C]) {
  for (auto& row : sums) std::fill_n(row, C, 0.0);
  for (std::int64_t first = 0; first < depth; first += kDepth) {
    const std::int64_t end = std::min(depth, first + kDepth);
    float lanes[R][C][kLanes] = {};
    std::int64_t k = first;
    for (; k + kLanes <= end; k += kLanes)
      for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c)
          for (std::int64_t l = 0; l < kLanes; ++l) lanes[r][c][l] += x[r * depth + k + l] * w[c * depth + k + l];
    for (int r = 0; r < R; ++r)
      for (int c = 0; c < C; ++c) {
        float* s = lanes[r][c];
        for (std::int64_t t = k; t < end; ++t) s[t - k] += x[r * depth + t] * w[c * depth + t];
        sums[r][c] += static_cast<double>(((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7])));
      }
  }
}

struct Problem {
  const float *x, *w, *b;
  std::int64_t rows, columns, depth;
  bool relu;
  float* y;
};

template <int R, int C>
void tile(const Problem& p, std::int64_t m, std::int64_t n) {
  double sums[R][C];
  dot_tile<R, C>(p.x + m * p.depth, p.w + n * p.depth, p.depth, sums);
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) {
      const auto v = static_cast<float>(sums[r][c] + static_cast<double>(p.b[n + c]));
      p.y[(m + r) * p.columns + n + c] = p.relu && v < 0.0F ? 0.0F : v;
    }
}

template <int R>
void tiles(const Problem& p, std::int64_t m, std::int64_t n, std::int64_t n_end) {
  for (; n + 4 <= n_end; n += 4) tile<R, 4>(p, m, n);
  for (; n < n_end; ++n) tile<R, 1>(p, m, n);
}

}  // namespace

void fully_connected(const float* x, const float* w, const float* b, std::int64_t rows, std::int64_t columns,
                     std::int64_t depth, bool relu, float* y) {
  if (rows == 0 || columns == 0) return;
  const Problem p{x, w, b, rows, columns, depth, relu, y};
  // A block of columns, whose weights stay in the cache, meets all rows before the next one comes.
  constexpr std::int64_t kColumns = 16, kRows = 32;
  const std::int64_t row_blocks = (rows + kRows - 1) / kRows, column_blocks = (columns + kColumns - 1) / kColumns;
  const std::int64_t grain = 1 + (1 << 16) / (1 + depth * kColumns * std::min(rows, kRows));
  parallel_for(row_blocks * column_blocks, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / row_blocks * kColumns, n_end = std::min(columns, n + kColumns);
      std::int64_t m = i % row_blocks * kRows;
      const std::int64_t m_end = std::min(rows, m + kRows);
      for (; m + 2 <= m_end; m += 2) tiles<2>(p, m, n, n_end);
      for (; m < m_end; ++m) tiles<1>(p, m, n, n_end);
    }
  });
}

}  // namespace d2deploy
