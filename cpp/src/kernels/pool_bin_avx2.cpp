#include "kernels/pool_bin_simd.h"

namespace d2deploy {

namespace {
constexpr int kBytes = 32;
}  // namespace

void pool_bin_channels_last_avx2(const FeatureMap<float>& map, const float* image, const Taps& rows,
                                 const Taps& columns, float* y, std::int64_t /*y_stride_c*/) {
  pool_bin_in_vectors<kBytes>(map, image, rows, columns, y);
}

void pool_bin_channels_last_avx2(const FeatureMap<BFloat16>& map, const BFloat16* image, const Taps& rows,
                                 const Taps& columns, BFloat16* y, std::int64_t /*y_stride_c*/) {
  pool_bin_in_vectors<kBytes>(map, image, rows, columns, y);
}

void pool_bin_channels_last_avx2(const FeatureMap<std::uint8_t>& map, const std::uint8_t* image, const Taps& rows,
                                 const Taps& columns, std::uint8_t* y, std::int64_t /*y_stride_c*/) {
  pool_bin_in_vectors<kBytes>(map, image, rows, columns, y);
}

void pool_bin_channels_last_avx2(const FeatureMap<std::int8_t>& map, const std::int8_t* image, const Taps& rows,
                                 const Taps& columns, std::int8_t* y, std::int64_t /*y_stride_c*/) {
  pool_bin_in_vectors<kBytes>(map, image, rows, columns, y);
}

}  // namespace d2deploy
