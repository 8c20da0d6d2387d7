#include "kernels/conv.h"

#include <algorithm>

#include "core/threads.h"

namespace d2deploy {

namespace {

// sums[0..count) += x * filters[0..count)
inline void add_scaled(float x, const float* filters, float* sums, std::int64_t count) {
  for (std::int64_t m = 0; m < count; ++m) sums[m] += x * filters[m];
}

// Output channels that are summed at a time.
constexpr std::int64_t kTile = 512;

// One output cell: `tile` channels of one group, which has m_count of them.
void cell(const Window& w, std::int64_t k_count, std::int64_t m_count, const MapView& x, const float* image,
          std::int64_t oy, std::int64_t ox, const float* packed, std::int64_t tile, float* sums) {
  for (std::int64_t i = 0; i < w.kernel_h; ++i) {
    const std::int64_t iy = oy * w.stride_h - w.pad_t + i * w.dilation_h;
    if (iy < 0 || iy >= x.height) continue;
    for (std::int64_t j = 0; j < w.kernel_w; ++j) {
      const std::int64_t ix = ox * w.stride_w - w.pad_l + j * w.dilation_w;
      if (ix < 0 || ix >= x.width) continue;
      const float* at = image + iy * x.stride_h + ix * x.stride_w;
      const float* filters = packed + (i * w.kernel_w + j) * k_count * m_count;
      for (std::int64_t k = 0; k < k_count; ++k) add_scaled(at[k * x.stride_c], filters + k * m_count, sums, tile);
    }
  }
}

}  // namespace

void pack_filters(const MapView& filters, std::int64_t m, std::int64_t group, float* packed) {
  const std::int64_t m_count = m / group, kh = filters.height, kw = filters.width, k_count = filters.channels;
  for (std::int64_t o = 0; o < m; ++o)
    for (std::int64_t i = 0; i < kh; ++i)
      for (std::int64_t j = 0; j < kw; ++j) {
        const float* from = filters.data + o * filters.stride_n + i * filters.stride_h + j * filters.stride_w;
        float* to = packed + ((o / m_count * kh + i) * kw + j) * k_count * m_count + o % m_count;
        for (std::int64_t k = 0; k < k_count; ++k) to[k * m_count] = from[k * filters.stride_c];
      }
}

void convolve(const Window& window, std::int64_t group, std::int64_t images, const MapView& x, const float* packed,
              const Epilogue& epilogue, const MapView& y) {
  const std::int64_t k_count = x.channels / group, m_count = y.channels / group;
  const std::int64_t group_size = window.kernel_h * window.kernel_w * k_count * m_count;
  parallel_for(images * y.height, 1, [&](std::int64_t begin, std::int64_t end) {
    float sums[kTile];
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t n = row / y.height, oy = row % y.height;
      for (std::int64_t ox = 0; ox < y.width; ++ox)
        for (std::int64_t g = 0; g < group; ++g)
          for (std::int64_t first = 0; first < m_count; first += kTile) {
            const std::int64_t m0 = g * m_count + first, tile = std::min(kTile, m_count - first);
            for (std::int64_t m = 0; m < tile; ++m) sums[m] = epilogue.bias ? epilogue.bias[m0 + m] : 0.0F;
            cell(window, k_count, m_count, x, x.data + n * x.stride_n + g * k_count * x.stride_c, oy, ox,
                 packed + g * group_size + first, tile, sums);
            const std::int64_t at = n * y.stride_n + oy * y.stride_h + ox * y.stride_w + m0 * y.stride_c;
            for (std::int64_t m = 0; m < tile; ++m) {
              float value = sums[m];
              if (epilogue.addend) value += epilogue.addend[at + m * y.stride_c];
              y.data[at + m * y.stride_c] = epilogue.relu && value < 0.0F ? 0.0F : value;
            }
          }
    }
  });
}

}  // namespace d2deploy
