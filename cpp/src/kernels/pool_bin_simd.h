// RoIAlign's inner loop over channels-last maps, in vectors of a chosen width. Everything here is in an unnamed
// namespace, deliberately: files compiled for different instruction sets include it, and each must keep its own
// code. For the same reason nothing of the standard library is used.
#pragma once
#include "kernels/pool_bin.h"

namespace d2deploy {
namespace {

// `vectors` vectors of `bytes` bytes of channels of one bin.
template <int bytes, int vectors>
inline void pool_channels(const FeatureMap& map, const float* corner, const Taps& rows, const Taps& columns, float* y) {
  typedef float Vector __attribute__((vector_size(bytes)));
  constexpr int lanes = bytes / 4;
  Vector sum[vectors] = {};
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const float* x = corner + r * map.stride_h;
    for (std::int64_t k = 0; k < columns.count; ++k, x += map.stride_w) {
      const float weight = rows.weights[r] * columns.weights[k];
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) {
        Vector cell;
        __builtin_memcpy(&cell, x + v * lanes, bytes);
        sum[v] += cell * weight;
      }
    }
  }
  __builtin_memcpy(y, sum, sizeof sum);
}

template <int bytes>
inline void pool_bin_in_vectors(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns,
                                void* out) {
  constexpr int lanes = bytes / 4;
  constexpr int most = bytes >= 64 ? 16 : 8;  // sums that stay in registers: AVX-512 has 32 of them
  const float* corner = static_cast<const float*>(image) + rows.first * map.stride_h + columns.first * map.stride_w;
  float* y = static_cast<float*>(out);
  std::int64_t c = 0;
  for (; c + most * lanes <= map.channels; c += most * lanes)
    pool_channels<bytes, most>(map, corner + c, rows, columns, y + c);
  for (; c + 4 * lanes <= map.channels; c += 4 * lanes) pool_channels<bytes, 4>(map, corner + c, rows, columns, y + c);
  for (; c + lanes <= map.channels; c += lanes) pool_channels<bytes, 1>(map, corner + c, rows, columns, y + c);
  for (; c < map.channels; ++c) pool_channels<4, 1>(map, corner + c, rows, columns, y + c);
}

// The same of quantised numbers: `count` channels. The loops over them are what compilers make vectors of.
template <int count, class T>
inline void pool_quantised(const FeatureMap& map, const T* corner, const Taps& rows, const Taps& columns, T* y) {
  float sum[count] = {};
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const T* x = corner + r * map.stride_h;
    for (std::int64_t k = 0; k < columns.count; ++k, x += map.stride_w) {
      const float weight = rows.weights[r] * columns.weights[k];
      for (int c = 0; c < count; ++c) sum[c] += static_cast<float>(x[c]) * weight;
    }
  }
  for (int c = 0; c < count; ++c) {
    // Adding 1.5 * 2^23 leaves the rounded number in the low bits.
    const float shifted = sum[c] * map.factor + 12582912.0F;
    int bits;
    __builtin_memcpy(&bits, &shifted, sizeof bits);
    y[c] = static_cast<T>(bits - 0x4B400000);
  }
}

template <class T>
inline void pool_bin_quantised(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns,
                               void* out) {
  const T* corner = static_cast<const T*>(image) + rows.first * map.stride_h + columns.first * map.stride_w;
  T* y = static_cast<T*>(out);
  std::int64_t c = 0;
  for (; c + 64 <= map.channels; c += 64) pool_quantised<64>(map, corner + c, rows, columns, y + c);
  for (; c + 16 <= map.channels; c += 16) pool_quantised<16>(map, corner + c, rows, columns, y + c);
  for (; c < map.channels; ++c) pool_quantised<1>(map, corner + c, rows, columns, y + c);
}

}  // namespace
}  // namespace d2deploy
