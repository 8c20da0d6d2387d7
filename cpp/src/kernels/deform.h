// Where deformed windows look: the places of their cells on a map, and what is interpolated there.
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/simt/host_device.h"

namespace d2deploy {

/// Up to two neighbouring cells along one axis, and their weights. Int is what cells are counted in.
template <class Int>
struct CellPair {
  Int first, count;  ///< none: the place does not count
  float weights[2];
};

/// The cells around `position` of a map that has `size` of them along the axis; see DeformConv for zero_border.
/// None where the position is NaN.
template <class Int>
SIMT_HOST_DEVICE inline CellPair<Int> cells_around(float position, Int size, bool zero_border) {
  const float least = zero_border ? -1.0F : 0.0F;
  const bool inside = zero_border ? position > least : position >= least;
  if (size < 1 || !inside || !(position < static_cast<float>(size))) return {0, 0, {0, 0}};
  const float floor = std::floor(position), fraction = position - floor;
  const Int low = static_cast<Int>(floor);
  if (low < 0) return {0, 1, {fraction, 0}};
  if (low >= size - 1) return {size - 1, 1, {zero_border ? 1.0F - fraction : 1.0F, 0}};
  return {low, 2, {1.0F - fraction, fraction}};
}

/// A deformed window over all of its places; the same for all images.
struct DeformedWindow {
  std::int64_t height, width;          ///< of the map
  std::int64_t out_height, out_width;  ///< places
  std::int64_t kernel_h, kernel_w, stride_h, stride_w, pad_t, pad_l, dilation_h, dilation_w;
  bool zero_border;

  SIMT_HOST_DEVICE std::int64_t cells() const { return kernel_h * kernel_w; }
  SIMT_HOST_DEVICE float y(std::int64_t out_y, std::int64_t cell, float offset) const {
    return static_cast<float>(out_y * stride_h - pad_t + cell / kernel_w * dilation_h) + offset;
  }
  SIMT_HOST_DEVICE float x(std::int64_t out_x, std::int64_t cell, float offset) const {
    return static_cast<float>(out_x * stride_w - pad_l + cell % kernel_w * dilation_w) + offset;
  }
};

}  // namespace d2deploy
