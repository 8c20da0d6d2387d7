// From an 8-bit picture of any size to a net's planes, at one go.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "d2deploy/image.h"

namespace d2deploy {

/// What a plane of a net's input holds.
struct PlaneSource {
  std::int64_t channel = 0;  ///< of the picture
  float padding = 0.0F;      ///< right of and below the picture
};

/// Resizes a picture, as `resize` does, into float32 planes (planes.size(), padded.height, padded.width): its values, 0
/// to 255, at their top left, padding elsewhere. A channel may go into several planes or none. Runs on the caller's
/// thread_count(); may throw std::bad_alloc.
/// Throws InvalidArgument: as `resize`; a size that is larger than `padded`, a channel that the picture does not have.
void resize_into_planes(const ImageView& image, Size size, std::span<const PlaneSource> planes, Size padded,
                        float* out);

/// Where the pixels of one axis of a resized picture come from: pixel i is the sum of the pixels first[i] + t, t <
/// taps[i], times weights[i * stride + t], which are whole numbers of 2^-22. Half of 1 is added before it is cut.
struct ResizeAxis {
  std::vector<std::int32_t> first, taps, weights;
  std::int64_t stride = 0;
};
ResizeAxis resize_axis(std::int64_t size, std::int64_t result_size);

/// Whether `resize` goes down the columns before it goes along the rows, which decides what is rounded in between.
bool resizes_columns_first(const ImageView& image, Size size);

}  // namespace d2deploy
