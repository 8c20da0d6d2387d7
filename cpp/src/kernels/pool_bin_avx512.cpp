#include "kernels/pool_bin_simd.h"

namespace d2deploy {

void pool_bin_channels_last_avx512(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns,
                                   void* y, std::int64_t /*y_stride_c*/) {
  constexpr int kBytes = 64;
  pool_bin_in_vectors<kBytes>(map, image, rows, columns, y);
}

void pool_bin_u8_avx512(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns, void* y,
                        std::int64_t /*y_stride_c*/) {
  pool_bin_quantised<std::uint8_t>(map, image, rows, columns, y);
}

void pool_bin_s8_avx512(const FeatureMap& map, const void* image, const Taps& rows, const Taps& columns, void* y,
                        std::int64_t /*y_stride_c*/) {
  pool_bin_quantised<std::int8_t>(map, image, rows, columns, y);
}

}  // namespace d2deploy
