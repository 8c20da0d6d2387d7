#include "kernels/pool_bin.h"

#include "kernels/instruction_sets.h"
#include "kernels/pool_bin_simd.h"

namespace d2deploy {

template <class T>
void pool_bin_any_layout(const FeatureMap<T>& map, const T* image, const Taps& rows, const Taps& columns, T* y,
                         std::int64_t y_stride_c) {
  const T* corner = image + rows.first * map.stride_h + columns.first * map.stride_w;
  for (std::int64_t c = 0; c < map.channels; ++c) {
    float sum = 0;
    for (std::int64_t r = 0; r < rows.count; ++r) {
      const T* x = corner + c * map.stride_c + r * map.stride_h;
      float row_sum = 0;
      for (std::int64_t k = 0; k < columns.count; ++k)
        row_sum += columns.weights[k] * static_cast<float>(x[k * map.stride_w]);
      sum += rows.weights[r] * row_sum;
    }
    store_sums<4>(map, Vectors<4>::Float{sum}, y + c * y_stride_c);
  }
}

template <class T>
void pool_bin_channels_last(const FeatureMap<T>& map, const T* image, const Taps& rows, const Taps& columns, T* y,
                            std::int64_t /*y_stride_c*/) {
  constexpr int kBytes = 16;  // what every CPU of the kind has
  pool_bin_in_vectors<kBytes>(map, image, rows, columns, y);
}

template <class T>
PoolBin<T> portable_pool_bin(bool channels_last) {
  if (!channels_last) return pool_bin_any_layout<T>;
#if defined(__x86_64__)
  if (has_avx2()) return pool_bin_channels_last_avx2;
#endif
  return pool_bin_channels_last<T>;
}

#define D2DEPLOY_INSTANTIATE(T)                                                                                     \
  template void pool_bin_any_layout(const FeatureMap<T>&, const T*, const Taps&, const Taps&, T*, std::int64_t);    \
  template void pool_bin_channels_last(const FeatureMap<T>&, const T*, const Taps&, const Taps&, T*, std::int64_t); \
  template PoolBin<T> portable_pool_bin<T>(bool);
D2DEPLOY_INSTANTIATE(float)
D2DEPLOY_INSTANTIATE(BFloat16)
D2DEPLOY_INSTANTIATE(std::uint8_t)
D2DEPLOY_INSTANTIATE(std::int8_t)
#undef D2DEPLOY_INSTANTIATE

}  // namespace d2deploy
