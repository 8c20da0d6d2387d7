// Bilinear interpolation along one axis of a feature map, as RoIAlign and RoIAlignRotated define it.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/simt/host_device.h"

namespace d2deploy {

/// A sample along one axis: (1 - fraction) of cell `low` and `fraction` of cell `high`.
struct Sample {
  std::int64_t low, high;
  float fraction;
};

/// Where `position` lies among `size` cells. False where it is more than one cell outside, or NaN, and does not count.
SIMT_HOST_DEVICE inline bool locate(float position, std::int64_t size, Sample& s) {
  if (!(position >= -1.0F && position <= static_cast<float>(size))) return false;
  const float inside = std::max(position, 0.0F);
  s.low = std::min(static_cast<std::int64_t>(inside), size - 1);
  s.high = std::min(s.low + 1, size - 1);
  s.fraction = s.low == size - 1 ? 0.0F : inside - static_cast<float>(s.low);
  return true;
}

}  // namespace d2deploy
