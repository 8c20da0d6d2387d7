// The inner loop of RoIAlign: one bin of one RoI, as a weighted sum over a rectangle of cells.
// Files for one instruction set include this: plain data and plain declarations only.
#pragma once
#include <cstdint>

#include "d2deploy/dtype.h"

namespace d2deploy {

/// Feature maps of all images at one scale; strides in elements. T is float, BFloat16, or int8 and uint8 for quantised
/// numbers; sums are float in any case.
template <class T>
struct FeatureMap {
  const T* data;
  std::int64_t images, channels, height, width;
  std::int64_t stride_n, stride_c, stride_h, stride_w;
  float scale;       ///< map cells per image pixel
  float factor = 1;  ///< of quantised numbers: what a 1 stands for, by what a 1 in the output does
};

/// Weights of the cells [first, first + count) of one bin along one axis.
struct Taps {
  const float* weights;
  std::int64_t first, count;
};

/// All channels of one bin. `image` is the map of the RoI's image.
template <class T>
using PoolBin = void (*)(const FeatureMap<T>& map, const T* image, const Taps& rows, const Taps& columns, T* y,
                         std::int64_t y_stride_c);

template <class T>
void pool_bin_any_layout(const FeatureMap<T>& map, const T* image, const Taps& rows, const Taps& columns, T* y,
                         std::int64_t y_stride_c);
/// The one of those for every CPU and for AVX2 that this CPU runs fastest.
template <class T>
PoolBin<T> portable_pool_bin(bool channels_last);

/// For stride_c = y_stride_c = 1; the others where has_avx2() and has_avx512() are.
template <class T>
void pool_bin_channels_last(const FeatureMap<T>& map, const T* image, const Taps& rows, const Taps& columns, T* y,
                            std::int64_t y_stride_c);
void pool_bin_channels_last_avx2(const FeatureMap<float>& map, const float* image, const Taps& rows,
                                 const Taps& columns, float* y, std::int64_t y_stride_c);
void pool_bin_channels_last_avx2(const FeatureMap<BFloat16>& map, const BFloat16* image, const Taps& rows,
                                 const Taps& columns, BFloat16* y, std::int64_t y_stride_c);
void pool_bin_channels_last_avx2(const FeatureMap<std::uint8_t>& map, const std::uint8_t* image, const Taps& rows,
                                 const Taps& columns, std::uint8_t* y, std::int64_t y_stride_c);
void pool_bin_channels_last_avx2(const FeatureMap<std::int8_t>& map, const std::int8_t* image, const Taps& rows,
                                 const Taps& columns, std::int8_t* y, std::int64_t y_stride_c);
void pool_bin_channels_last_avx512(const FeatureMap<float>& map, const float* image, const Taps& rows,
                                   const Taps& columns, float* y, std::int64_t y_stride_c);
void pool_bin_channels_last_avx512(const FeatureMap<BFloat16>& map, const BFloat16* image, const Taps& rows,
                                   const Taps& columns, BFloat16* y, std::int64_t y_stride_c);
void pool_bin_channels_last_avx512(const FeatureMap<std::uint8_t>& map, const std::uint8_t* image, const Taps& rows,
                                   const Taps& columns, std::uint8_t* y, std::int64_t y_stride_c);
void pool_bin_channels_last_avx512(const FeatureMap<std::int8_t>& map, const std::int8_t* image, const Taps& rows,
                                   const Taps& columns, std::int8_t* y, std::int64_t y_stride_c);

}  // namespace d2deploy
