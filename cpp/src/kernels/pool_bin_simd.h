// RoIAlign's inner loop over channels-last maps, in vectors of a chosen width. Everything here is in an unnamed
// namespace, deliberately: files compiled for different instruction sets include it, and each must keep its own
// code. For the same reason nothing of the standard library is used.
#pragma once
#include "kernels/pool_bin.h"
#include "kernels/vectors_simd.h"

namespace d2deploy {
namespace {

// Sums in the units of the map, as elements of the output.
template <int bytes, class T>
inline void store_sums(const FeatureMap<T>& map, const typename Vectors<bytes>::Float& sum, T* y) {
  if constexpr (sizeof(T) == 1)
    store_vector<bytes>(sum * map.factor, y);
  else
    store_vector<bytes>(sum, y);
}

// `vectors` vectors of `bytes` bytes of channels of one bin.
template <int bytes, int vectors, class T>
inline void pool_channels(const FeatureMap<T>& map, const T* corner, const Taps& rows, const Taps& columns, T* y) {
  typedef typename Vectors<bytes>::Float Vector;
  constexpr int lanes = bytes / 4;
  Vector sum[vectors] = {};
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const T* x = corner + r * map.stride_h;
    for (std::int64_t k = 0; k < columns.count; ++k, x += map.stride_w) {
      const float weight = rows.weights[r] * columns.weights[k];
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) {
        Vector cell;
        load_vector<bytes>(x + v * lanes, cell);
        sum[v] += cell * weight;
      }
    }
  }
#pragma GCC unroll 16
  for (int v = 0; v < vectors; ++v) store_sums<bytes>(map, sum[v], y + v * lanes);
}

template <int bytes, class T>
inline void pool_bin_in_vectors(const FeatureMap<T>& map, const T* image, const Taps& rows, const Taps& columns, T* y) {
  constexpr int lanes = bytes / 4;
  constexpr int most = bytes >= 64 ? 16 : 8;  // sums that stay in registers: AVX-512 has 32 of them
  const T* corner = image + rows.first * map.stride_h + columns.first * map.stride_w;
  std::int64_t c = 0;
  for (; c + most * lanes <= map.channels; c += most * lanes)
    pool_channels<bytes, most>(map, corner + c, rows, columns, y + c);
  for (; c + 4 * lanes <= map.channels; c += 4 * lanes) pool_channels<bytes, 4>(map, corner + c, rows, columns, y + c);
  for (; c + lanes <= map.channels; c += lanes) pool_channels<bytes, 1>(map, corner + c, rows, columns, y + c);
  for (; c < map.channels; ++c) pool_channels<4, 1>(map, corner + c, rows, columns, y + c);
}

}  // namespace
}  // namespace d2deploy
