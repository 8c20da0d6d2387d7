// Portable convolution loops, in float32, over either layout. They vectorise over the output channels.
#pragma once
#include "kernels/window.h"

namespace d2deploy {

/// A feature map as the loops see it.
struct MapView {
  float* data;
  std::int64_t channels, height, width;
  std::int64_t stride_n, stride_c, stride_h, stride_w;
};

/// What follows the sum of a convolution, element by element.
struct Epilogue {
  const float* bias = nullptr;    ///< one per output channel
  const float* addend = nullptr;  ///< laid out like the output
  bool relu = false;
};

/// Filters (M, K, kh, kw), given as a map of M images, as (group, kh, kw, K, M / group), which the loops read in order.
void pack_filters(const MapView& filters, std::int64_t m, std::int64_t group, float* packed);

/// y = epilogue(conv(x)) for `images` images.
void convolve(const Window& window, std::int64_t group, std::int64_t images, const MapView& x, const float* packed,
              const Epilogue& epilogue, const MapView& y);

}  // namespace d2deploy
