// Where the samples of a RoI lie along one axis of a feature map: what RoIAlign does in the same way on any device.
#pragma once
#include "kernels/bilinear.h"

namespace d2deploy {

struct RoiGrid {
  std::int64_t pooled_h = 1, pooled_w = 1;
  std::int64_t sampling_ratio = -1;  ///< samples per bin and axis; <= 0: one per started cell
  bool aligned = false;              ///< whether coordinates are shifted by half a cell
};

/// One axis of a RoI and of the map that it is pooled from.
struct RoiAxis {
  SampleLine line;
  std::int64_t size = 0;  ///< cells of the map

  /// All of them where they are few, since the search for their ends costs more than they do.
  SIMT_HOST_DEVICE SampleRange samples_near_map(std::int64_t in_bin) const {
    constexpr std::int64_t kFew = 4;
    if (size > 0 && line.grid <= kFew) return {0, line.grid};
    return size == 0 ? SampleRange{0, 0} : line.within(in_bin, -1, static_cast<double>(size));
  }
};

/// `from` and `to` in pixels of the image.
SIMT_HOST_DEVICE inline RoiAxis roi_axis(const RoiGrid& grid, float from, float to, float scale, std::int64_t pooled,
                                         std::int64_t size) {
  const float offset = grid.aligned ? 0.5F : 0.0F;
  const float start = from * scale - offset;
  float length = to * scale - offset - start;
  if (!grid.aligned) length = std::max(length, 1.0F);
  return {SampleLine::of(start, length, pooled, grid.sampling_ratio), size};
}

}  // namespace d2deploy
