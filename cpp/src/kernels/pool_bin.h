// The inner loop of RoIAlign: one bin of one RoI, as a weighted sum over a rectangle of cells.
// Files for one instruction set include this: plain data and plain declarations only.
#pragma once
#include <cstdint>

namespace d2deploy {

/// Feature maps of all images at one scale; strides in elements.
struct FeatureMap {
  const void* data;  ///< float, or quantised numbers
  std::int64_t images, channels, height, width;
  std::int64_t stride_n, stride_c, stride_h, stride_w;
  float scale;  ///< map cells per image pixel
  std::int64_t element_bytes;
  float factor;  ///< of quantised numbers: a 1 of the map in numbers of the output, at most 1
};

/// Weights of the cells [first, first + count) of one bin along one axis.
struct Taps {
  const float* weights;
  std::int64_t first, count;
};

/// All channels of one bin. `image` is the map of the RoI's image; `y` has elements of the map's type.
using PoolBin = void (*)(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns, void* y,
                         std::int64_t y_stride_c);

void pool_bin_any_layout(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns, void* y,
                         std::int64_t y_stride_c);
/// All others for stride_c = y_stride_c = 1; those for AVX-512 where has_avx512() is.
void pool_bin_channels_last(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns, void* y,
                            std::int64_t y_stride_c);
void pool_bin_channels_last_avx512(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns,
                                   void* y, std::int64_t y_stride_c);
/// Of quantised numbers: sums in float, rounded to nearest.
void pool_bin_u8(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns, void* y,
                 std::int64_t y_stride_c);
void pool_bin_s8(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns, void* y,
                 std::int64_t y_stride_c);
void pool_bin_u8_avx512(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns, void* y,
                        std::int64_t y_stride_c);
void pool_bin_s8_avx512(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns, void* y,
                        std::int64_t y_stride_c);

}  // namespace d2deploy
