#include "kernels/pool_bin.h"

#include "kernels/pool_bin_simd.h"

namespace d2deploy {

void pool_bin_any_layout(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns, void* out,
                         std::int64_t y_stride_c) {
  auto* y = static_cast<float*>(out);
  const float* corner = static_cast<const float*>(image) + rows.first * map.stride_h + columns.first * map.stride_w;
  for (std::int64_t c = 0; c < map.channels; ++c) {
    float sum = 0;
    for (std::int64_t r = 0; r < rows.count; ++r) {
      const float* x = corner + c * map.stride_c + r * map.stride_h;
      float row_sum = 0;
      for (std::int64_t k = 0; k < columns.count; ++k) row_sum += columns.weights[k] * x[k * map.stride_w];
      sum += rows.weights[r] * row_sum;
    }
    y[c * y_stride_c] = sum;
  }
}

void pool_bin_channels_last(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns, void* y,
                            std::int64_t /*y_stride_c*/) {
  constexpr int kBytes = 16;  // what every CPU of the kind has
  pool_bin_in_vectors<kBytes>(map, image, rows, columns, y);
}

void pool_bin_u8(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns, void* y,
                 std::int64_t /*y_stride_c*/) {
  pool_bin_quantised<std::uint8_t>(map, image, rows, columns, y);
}

void pool_bin_s8(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns, void* y,
                 std::int64_t /*y_stride_c*/) {
  pool_bin_quantised<std::int8_t>(map, image, rows, columns, y);
}

}  // namespace d2deploy
