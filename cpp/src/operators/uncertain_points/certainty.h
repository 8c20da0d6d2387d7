// How certain logits are, in the same way on any device.
#pragma once
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/simt/host_device.h"

namespace d2deploy {

/// Of a cell whose channels lie `stride` apart, 0 or more; see UncertainPoints. NaN where a channel is.
SIMT_HOST_DEVICE inline float certainty(const float* x, std::int64_t channels, std::int64_t stride) {
  if (channels == 1) return std::fabs(x[0]);
  float most = x[0], next = -std::numeric_limits<float>::infinity();
  for (std::int64_t c = 1; c < channels && !std::isnan(most); ++c) {
    const float value = x[c * stride];
    if (value > most || std::isnan(value)) {
      next = most;
      most = value;
    } else if (value > next) {
      next = value;
    }
  }
  return most - next;
}

/// The middle of cell `index` of a row of `size`, as a part of that row.
SIMT_HOST_DEVICE inline float middle(std::int64_t index, std::int64_t size) {
  return (static_cast<float>(index) + 0.5F) / static_cast<float>(size);
}

}  // namespace d2deploy
