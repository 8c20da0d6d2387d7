// Pictures of bytes on a GPU: resized in fixed point, as kernels/resample.h does it, into a net's planes.
#pragma once
#include <cstdint>

namespace d2deploy::simt {

/// One axis of a resized picture: pixel i is the sum of the pixels first[i] + t, t < taps[i], times
/// weights[i * stride + t] in whole numbers of 2^-22. Addresses on the device.
struct PictureAxis {
  const std::int32_t *first, *taps, *weights;
  std::int64_t stride, size;
};

/// Interleaved bytes on the device.
struct Picture {
  const std::uint8_t* data;
  std::int64_t height, width, channels;
};

/// y (height, axis.size, channels), or (axis.size, width, channels) down the columns.
void resample(void* stream, const Picture& x, const PictureAxis& axis, bool down_columns, std::uint8_t* y);

/// What planes hold: a channel of the picture, and a number right of and below it.
struct PictureTargets {
  static constexpr int kMost = 64;
  float* data;  // (count, height, width)
  std::int64_t count, height, width;
  std::int32_t channel[kMost];
  float padding[kMost];
};

/// The same into planes of float32.
void resample_into_planes(void* stream, const Picture& x, const PictureAxis& axis, bool down_columns,
                          const PictureTargets& planes);

}  // namespace d2deploy::simt
