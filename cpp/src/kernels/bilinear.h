// Samples along one axis of a feature map, and bilinear interpolation between its cells, as RoIAlign and
// RoIAlignRotated define them.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/simt/host_device.h"

namespace d2deploy {

/// A sample along one axis: (1 - fraction) of cell `low` and `fraction` of cell `high`. Int is what cells are counted
/// in: GPUs count faster in 32 bits.
template <class Int>
struct SampleOf {
  Int low, high;
  float fraction;
};
using Sample = SampleOf<std::int64_t>;

/// Where `position` lies among `size` cells. False where it is more than one cell outside, or NaN, and does not count.
template <class Int>
SIMT_HOST_DEVICE inline bool locate(float position, Int size, SampleOf<Int>& s) {
  if (!(position >= -1.0F && position <= static_cast<float>(size))) return false;
  const float inside = std::max(position, 0.0F);
  s.low = std::min(static_cast<Int>(inside), size - 1);
  s.high = std::min<Int>(s.low + 1, size - 1);
  s.fraction = s.low == size - 1 ? 0.0F : inside - static_cast<float>(s.low);
  return true;
}

struct SampleRange {
  std::int64_t begin, end;
};

/// The samples along one side of a RoI, which is cut into bins; all in cells of the map.
struct SampleLine {
  float start = 0, bin = 0;  ///< where the first bin begins, and the length of a bin
  std::int64_t grid = 0;     ///< samples per bin

  /// `sampling_ratio` samples per bin, where that is positive, else one per started cell. None on a side of negative
  /// length or of none.
  SIMT_HOST_DEVICE static SampleLine of(float start, float length, std::int64_t pooled, std::int64_t sampling_ratio) {
    SampleLine line{start, length / static_cast<float>(pooled), sampling_ratio};
    if (length < 0) {
      line.grid = 0;
    } else if (sampling_ratio <= 0) {
      constexpr float kMostSamples = 0x1p24F;  // counted exactly in float32; far more than any map has cells
      const float wanted = std::ceil(line.bin);
      line.grid = wanted > 0 ? static_cast<std::int64_t>(std::min(wanted, kMostSamples)) : 0;
    }
    return line;
  }

  template <class Int>
  SIMT_HOST_DEVICE float position(Int in_bin, Int sample) const {
    return start + static_cast<float>(in_bin) * bin +
           (static_cast<float>(sample) + 0.5F) * bin / static_cast<float>(grid);
  }

  /// A superset of the samples of a bin whose positions are in [low, high], small whatever the RoI is.
  SIMT_HOST_DEVICE SampleRange within(std::int64_t in_bin, double low, double high) const {
    constexpr double kMargin = 2;  // for rounding
    const double base = static_cast<double>(start) + static_cast<double>(in_bin) * static_cast<double>(bin);
    const double step = static_cast<double>(bin) / static_cast<double>(grid);
    if (grid == 0 || !std::isfinite(base) || !std::isfinite(step)) return {0, 0};
    if (step == 0) return {0, grid};
    const auto clamp = [&](double sample) { return std::clamp(sample, 0.0, static_cast<double>(grid)); };
    const double first = clamp(std::floor((low - base) / step - 0.5) - kMargin);
    const double end = clamp(std::ceil((high - base) / step - 0.5) + kMargin + 1);
    return {static_cast<std::int64_t>(first), static_cast<std::int64_t>(end)};
  }
};

}  // namespace d2deploy
