// Where the samples of a RoI lie along one axis of a feature map: what RoIAlign does in the same way on any device.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/simt/host_device.h"

namespace d2deploy {

struct RoiGrid {
  std::int64_t pooled_h = 1, pooled_w = 1;
  std::int64_t sampling_ratio = -1;  ///< samples per bin and axis; <= 0: one per started cell
  bool aligned = false;              ///< whether coordinates are shifted by half a cell
};

/// In cells of the map.
struct RoiAxis {
  float start = 0, bin = 0;  ///< of the RoI; of one bin
  std::int64_t grid = 0;     ///< samples per bin
  std::int64_t size = 0;     ///< cells of the map

  SIMT_HOST_DEVICE float position(std::int64_t in_bin, std::int64_t sample) const {
    return start + static_cast<float>(in_bin) * bin +
           (static_cast<float>(sample) + 0.5F) * bin / static_cast<float>(grid);
  }
};

/// `from` and `to` in pixels of the image.
SIMT_HOST_DEVICE inline RoiAxis roi_axis(const RoiGrid& grid, float from, float to, float scale, std::int64_t pooled,
                                         std::int64_t size) {
  const float offset = grid.aligned ? 0.5F : 0.0F;
  const float start = from * scale - offset;
  float length = to * scale - offset - start;
  if (!grid.aligned) length = std::max(length, 1.0F);
  RoiAxis axis{start, length / static_cast<float>(pooled), grid.sampling_ratio, size};
  if (length < 0) {  // the box ends before it starts: no samples, as in one of size zero
    axis.grid = 0;
  } else if (grid.sampling_ratio <= 0) {
    constexpr float kMostSamples = 0x1p24F;  // counted exactly in float32; far more than any map has cells
    const float wanted = std::ceil(axis.bin);
    axis.grid = wanted > 0 ? static_cast<std::int64_t>(std::min(wanted, kMostSamples)) : 0;
  }
  return axis;
}

/// Samples [begin, end).
struct RoiSamples {
  std::int64_t begin, end;
};

/// A superset of the samples that count, small whatever the RoI is.
SIMT_HOST_DEVICE inline RoiSamples samples_near_map(const RoiAxis& axis, std::int64_t in_bin) {
  constexpr double kMargin = 2;  // for rounding
  const double base = static_cast<double>(axis.start) + static_cast<double>(in_bin) * axis.bin;
  const double step = static_cast<double>(axis.bin) / static_cast<double>(axis.grid);
  if (axis.grid == 0 || axis.size == 0 || !std::isfinite(base) || !std::isfinite(step)) return {0, 0};
  if (step == 0) return {0, axis.grid};
  const auto clamp = [&](double sample) { return std::clamp(sample, 0.0, static_cast<double>(axis.grid)); };
  const double first = std::floor((-1 - base) / step - 0.5) - kMargin;
  const double last = std::ceil((static_cast<double>(axis.size) - base) / step - 0.5) + kMargin;
  return {static_cast<std::int64_t>(clamp(first)), static_cast<std::int64_t>(clamp(last + 1))};
}

}  // namespace d2deploy
