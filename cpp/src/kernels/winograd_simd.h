// The transforms of Winograd's minimal filtering F(4x4, 3x3) in vectors of channels: see packed_vector.h for what may
// stand here.
//
// Four outputs of a filter of three, y_i = sum over j of g_j d_(i+j), are the values of a polynomial, which is found
// from its values at 0, +-p, +-q and infinity. With a = p^2 and b = q^2 the products m = u v at these points are of
//   u(0) = g_0 / ab          v(0) = ab d_0 - (a + b) d_2 + d_4
//   u(+-p) = (g_0 +- p g_1 + a g_2) / 2a(a - b)      v(+-p) = (d_4 - b d_2) +- p (d_3 - b d_1)
//   u(+-q) = (g_0 +- q g_1 + b g_2) / 2b(b - a)      v(+-q) = (d_4 - a d_2) +- q (d_3 - a d_1)
//   u(inf) = g_2             v(inf) = ab d_1 - (a + b) d_3 + d_5
// and the outputs are of their sums s and differences t over the signs
//   y_0 = m(0) + s(p) + s(q), y_1 = p t(p) + q t(q), y_2 = a s(p) + b s(q), y_3 = p^3 t(p) + q^3 t(q) + m(inf).
// In two dimensions this is done to the columns, then to the rows.
//
// 5/8 and 3/2 lose least to rounding of all pairs of eighths, a third of what the usual 1 and 2 lose, and all of these
// coefficients but those of u are exact in float32.
#pragma once
#include "kernels/packed_simd.h"
#include "kernels/winograd_loops.h"

namespace d2deploy {
namespace {

constexpr double kP = 0.625, kQ = 1.5, kA = kP * kP, kB = kQ * kQ;
constexpr int kOut = kWinogradOut, kIn = kWinogradIn;

// Six inputs d[0], d[s], .. become v[0], v[t], ..
template <class Vector>
[[gnu::always_inline]] inline void transform_input_line(const Vector* d, int s, Vector* v, int t) {
  constexpr auto a = static_cast<float>(kA), b = static_cast<float>(kB), p = static_cast<float>(kP),
                 q = static_cast<float>(kQ), ab = static_cast<float>(kA * kB), sum = static_cast<float>(kA + kB);
  const Vector even_p = d[4 * s] - b * d[2 * s], odd_p = d[3 * s] - b * d[s];
  const Vector even_q = d[4 * s] - a * d[2 * s], odd_q = d[3 * s] - a * d[s];
  v[0] = ab * d[0] - sum * d[2 * s] + d[4 * s];
  v[t] = even_p + p * odd_p;
  v[2 * t] = even_p - p * odd_p;
  v[3 * t] = even_q + q * odd_q;
  v[4 * t] = even_q - q * odd_q;
  v[5 * t] = ab * d[s] - sum * d[3 * s] + d[5 * s];
}

// Six products m[0], m[s], .. become four outputs y[0], y[t], ..
template <class Vector>
[[gnu::always_inline]] inline void transform_output_line(const Vector* m, int s, Vector* y, int t) {
  constexpr auto a = static_cast<float>(kA), b = static_cast<float>(kB), p = static_cast<float>(kP),
                 q = static_cast<float>(kQ), p3 = static_cast<float>(kA * kP), q3 = static_cast<float>(kB * kQ);
  const Vector sum_p = m[s] + m[2 * s], difference_p = m[s] - m[2 * s];
  const Vector sum_q = m[3 * s] + m[4 * s], difference_q = m[3 * s] - m[4 * s];
  y[0] = m[0] + sum_p + sum_q;
  y[t] = p * difference_p + q * difference_q;
  y[2 * t] = a * sum_p + b * sum_q;
  y[3 * t] = p3 * difference_p + q3 * difference_q + m[5 * s];
}

// Three weights g[0], g[s], g[2s] become six.
template <class Vector>
[[gnu::always_inline]] inline void transform_filter_line(const Vector* g, int s, Vector* u, int t) {
  constexpr double kScaleP = 1 / (2 * kA * (kA - kB)), kScaleQ = 1 / (2 * kB * (kB - kA));
  const Vector even_p = kScaleP * g[0] + kScaleP * kA * g[2 * s], odd_p = kScaleP * kP * g[s];
  const Vector even_q = kScaleQ * g[0] + kScaleQ * kB * g[2 * s], odd_q = kScaleQ * kQ * g[s];
  u[0] = 1 / (kA * kB) * g[0];
  u[t] = even_p + odd_p;
  u[2 * t] = even_p - odd_p;
  u[3 * t] = even_q + odd_q;
  u[4 * t] = even_q - odd_q;
  u[5 * t] = g[2 * s];
}

// In float64, so that only the result is rounded.
template <class R>
void transform_filters(const float* filters, std::int64_t in_channels, std::int64_t out_channels, std::int64_t panel,
                       std::int64_t first, std::int64_t last, float* packed, std::int64_t position_step) {
  using Wide = typename R::Wide;
  using Half = typename R::Half;
  constexpr int lanes = R::width / 2;  // doubles in a register
  const std::int64_t depth = round_up(in_channels, R::width);
  for (std::int64_t k = first; k < last; ++k)
    for (int j = 0; j < R::panel; j += lanes) {
      float plain[9][lanes] = {};
      for (int lane = 0; lane < lanes; ++lane) {
        const std::int64_t channel = panel * R::panel + j + lane;
        if (k >= in_channels || channel >= out_channels) continue;
        const float* filter = filters + (channel * in_channels + k) * 9;
        for (int i = 0; i < 9; ++i) plain[i][lane] = filter[i];
      }
      Wide g[9], columns[kIn * 3];
      for (int i = 0; i < 9; ++i) {
        Half half;
        __builtin_memcpy(&half, plain[i], sizeof half);
        g[i] = __builtin_convertvector(half, Wide);
      }
      for (int i = 0; i < 3; ++i) transform_filter_line(g + i, 3, columns + i, 3);
      float* to = packed + (panel * depth + k) * R::panel + j;
      for (int i = 0; i < kIn; ++i) {
        Wide row[kIn];
        transform_filter_line(columns + i * 3, 1, row, 1);
        for (int q = 0; q < kIn; ++q) {
          const Half u = __builtin_convertvector(row[q], Half);
          __builtin_memcpy(to + (i * kIn + q) * position_step, &u, sizeof u);
        }
      }
    }
}

// The upper left cell of a tile's outputs.
struct Corner {
  std::int64_t image, y, x;
};
inline Corner corner_of(const WinogradMaps& m, std::int64_t tile) {
  const std::int64_t row = tile / m.tile_columns;
  return {row / m.tile_rows, row % m.tile_rows * kOut, tile % m.tile_columns * kOut};
}

// `count` channels of the cells of a tile, all of a vector or fewer.
template <class R, class T>
[[gnu::always_inline]] inline void transform_input(const T* const* cells, std::int64_t c, std::int64_t count, float* to,
                                                   std::int64_t step) {
  using Vector = typename R::Vector;
  Vector half_way[kWinogradPositions];
#pragma GCC unroll 8
  for (int j = 0; j < kIn; ++j) {
    Vector d[kIn];
#pragma GCC unroll 8
    for (int i = 0; i < kIn; ++i) {
      const T* from = cells[i * kIn + j] + c;
      d[i] = count == R::width ? R::load(from) : R::load_some(from, count);
    }
    transform_input_line(d, 1, half_way + j, kIn);
  }
#pragma GCC unroll 8
  for (int i = 0; i < kIn; ++i) {
    Vector line[kIn];
    transform_input_line(half_way + i * kIn, 1, line, 1);
#pragma GCC unroll 8
    for (int j = 0; j < kIn; ++j) R::store(to + (i * kIn + j) * step, line[j]);
  }
}

template <class R, class T>
void transform_inputs_of(const WinogradMaps& m, const T* x, const T* zeros, std::int64_t first, std::int64_t last,
                         std::int64_t origin, const WinogradTiles& tiles) {
  for (std::int64_t tile = first; tile < last; ++tile) {
    const Corner at = corner_of(m, tile);
    const T* cells[kWinogradPositions];
    for (int i = 0; i < kIn; ++i)
      for (int j = 0; j < kIn; ++j) {
        const std::int64_t y = at.y + i - m.pad_t, column = at.x + j - m.pad_l;
        const bool inside = y >= 0 && y < m.in_height && column >= 0 && column < m.in_width;
        cells[i * kIn + j] = inside ? x + ((at.image * m.in_height + y) * m.in_width + column) * m.in_channels : zeros;
      }
    const std::int64_t row = tile - origin;
    float* to = tiles.data + row / R::rows * R::rows * tiles.columns + row % R::rows * R::width;
    std::int64_t c = 0;
    for (; c + R::width <= m.in_channels; c += R::width, to += R::rows * R::width)
      transform_input<R>(cells, c, R::width, to, tiles.step);
    if (c < m.in_channels) transform_input<R>(cells, c, m.in_channels - c, to, tiles.step);
  }
}

template <class R>
void transform_inputs(const WinogradMaps& m, const void* x, const void* zeros, std::int64_t first, std::int64_t last,
                      std::int64_t origin, const WinogradTiles& tiles) {
  const auto of = [&]<class T>(const T* values) {
    transform_inputs_of<R>(m, values, static_cast<const T*>(zeros), first, last, origin, tiles);
  };
  m.x_bfloat16 ? of(static_cast<const BFloat16*>(x)) : of(static_cast<const float*>(x));
}

// `count` channels of a tile's outputs, of which high x wide cells are inside of the map.
template <class R, class T>
[[gnu::always_inline]] inline void transform_output(const float* from, std::int64_t step, std::int64_t c,
                                                    std::int64_t count, std::int64_t high, std::int64_t wide,
                                                    const WinogradFinish& finish, std::int64_t offset,
                                                    std::int64_t row_step, std::int64_t cell_step, T* y) {
  using Vector = typename R::Vector;
  const bool whole = count == R::width;
  Vector half_way[kOut * kIn];
#pragma GCC unroll 8
  for (int j = 0; j < kIn; ++j) {
    Vector line[kIn];
#pragma GCC unroll 8
    for (int i = 0; i < kIn; ++i) line[i] = R::load(from + (i * kIn + j) * step);
    transform_output_line(line, 1, half_way + j, kIn);
  }
  const auto* addend = static_cast<const T*>(finish.addend);
  Vector bias{};
  if (finish.bias != nullptr) bias = whole ? R::load(finish.bias + c) : R::load_some(finish.bias + c, count);
#pragma GCC unroll 8
  for (int i = 0; i < kOut; ++i) {
    if (i >= high) break;
    Vector line[kOut];
    transform_output_line(half_way + i * kIn, 1, line, 1);
#pragma GCC unroll 8
    for (int j = 0; j < kOut; ++j) {
      if (j >= wide) break;
      const std::int64_t at = offset + i * row_step + j * cell_step + c;
      Vector v = line[j] + bias;
      if (addend != nullptr) v += whole ? R::load(addend + at) : R::load_some(addend + at, count);
      v = finished<R>(v, finish.relu);
      if (whole)
        R::store(y + at, v);
      else
        R::store_some(y + at, v, count);
    }
  }
}

template <class R, class T>
void transform_outputs_of(const WinogradMaps& m, const WinogradTiles& tiles, std::int64_t first, std::int64_t last,
                          std::int64_t origin, const WinogradFinish& finish, T* y) {
  const std::int64_t cell_step = m.out_channels, row_step = m.out_width * cell_step;
  for (std::int64_t tile = first; tile < last; ++tile) {
    const Corner at = corner_of(m, tile);
    const std::int64_t high = m.out_height - at.y, wide = m.out_width - at.x;
    const std::int64_t offset = (at.image * m.out_height + at.y) * row_step + at.x * cell_step, row = tile - origin;
    const float* from = tiles.data + row / R::rows * R::rows * tiles.columns + row % R::rows * R::width;
    std::int64_t c = 0;
    for (; c + R::width <= m.out_channels; c += R::width, from += R::rows * R::width)
      transform_output<R>(from, tiles.step, c, R::width, high, wide, finish, offset, row_step, cell_step, y);
    if (c < m.out_channels)
      transform_output<R>(from, tiles.step, c, m.out_channels - c, high, wide, finish, offset, row_step, cell_step, y);
  }
}

template <class R>
void transform_outputs(const WinogradMaps& m, const WinogradTiles& tiles, std::int64_t first, std::int64_t last,
                       std::int64_t origin, const WinogradFinish& finish, void* y) {
  const auto to = [&](auto* values) { transform_outputs_of<R>(m, tiles, first, last, origin, finish, values); };
  m.y_bfloat16 ? to(static_cast<BFloat16*>(y)) : to(static_cast<float*>(y));
}

template <class R>
constexpr WinogradLoops winograd_loops_of(const PackedLoops& (*packed)()) {
  return {packed, transform_filters<R>, transform_inputs<R>, transform_outputs<R>};
}

}  // namespace
}  // namespace d2deploy
