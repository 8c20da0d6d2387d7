#include "kernels/pool_bin_simd.h"

namespace d2deploy {

void pool_bin_channels_last_avx512(const FeatureMap& map, const float* image, const Taps& rows, const Taps& columns,
                                   float* y, std::int64_t /*y_stride_c*/) {
  constexpr int kBytes = 64;
  pool_bin_in_vectors<kBytes>(map, image, rows, columns, y);
}

}  // namespace d2deploy
