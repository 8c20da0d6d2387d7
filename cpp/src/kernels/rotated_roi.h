// Where the samples of a rotated RoI lie on a feature map: what RoIAlignRotated does in the same way on any device.
#pragma once
#include <limits>
#include <numbers>

#include "kernels/bilinear.h"
#include "kernels/roi_axis.h"
#include "kernels/rotated_boxes.h"

namespace d2deploy {

/// Values that lie in an interval; infinite until it is limited.
struct Interval {
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();

  /// Leaves the t where from <= base + slope t <= to.
  SIMT_HOST_DEVICE void limit(double base, double slope, double from, double to) {
    if (std::fabs(slope) < 1e-6) return;  // a sample further out is found by looking
    const double a = (from - base) / slope, b = (to - base) / slope;
    low = std::max(low, std::min(a, b));
    high = std::min(high, std::max(a, b));
  }
};

/// One RoI in cells of the map. Offset (u, v) from its centre is (u cos + v sin + x, v cos - u sin + y) there.
struct RotatedRoi {
  SampleLine across, down;  ///< from the RoI's centre
  float x, y, cos, sin;

  SIMT_HOST_DEVICE static RotatedRoi of(const RoiGrid& grid, const RotatedBox& box, float scale) {
    const float offset = grid.aligned ? 0.5F : 0.0F;
    const double theta = static_cast<double>(box.angle) * (std::numbers::pi / 180);
    return {side(grid, box.w * scale, grid.pooled_w),
            side(grid, box.h * scale, grid.pooled_h),
            box.x * scale - offset,
            box.y * scale - offset,
            static_cast<float>(std::cos(theta)),
            static_cast<float>(std::sin(theta))};
  }

  /// Samples of a bin, those beyond the map included.
  SIMT_HOST_DEVICE float samples() const { return static_cast<float>(across.grid) * static_cast<float>(down.grid); }

  /// Calls use(vertical, horizontal) for each sample of bin (ph, pw) on a map of this size.
  template <class F>
  SIMT_HOST_DEVICE void for_each_sample(std::int64_t rows, std::int64_t columns, std::int64_t ph, std::int64_t pw,
                                        const F& use) const {
    const double map_width = static_cast<double>(columns), map_height = static_cast<double>(rows);
    if (rows == 0 || columns == 0 || !std::isfinite(x) || !std::isfinite(y) || !std::isfinite(cos)) return;
    const Interval reach = reach_of(map_width, map_height);
    const SampleRange lines = down.within(ph, reach.low, reach.high);
    for (std::int64_t i = lines.begin; i < lines.end; ++i) {
      const float v = down.position(ph, i);
      if (!std::isfinite(v)) continue;  // it would not limit the columns
      Interval inside;
      inside.limit(static_cast<double>(v * sin) + x, cos, -1, map_width);
      inside.limit(static_cast<double>(v * cos) + y, -sin, -1, map_height);
      const SampleRange line = across.within(pw, inside.low, inside.high);
      for (std::int64_t j = line.begin; j < line.end; ++j) {
        const float u = across.position(pw, j);
        Sample vertical{}, horizontal{};
        if (locate(v * cos - u * sin + y, rows, vertical) && locate(u * cos + v * sin + x, columns, horizontal))
          use(vertical, horizontal);
      }
    }
  }

 private:
  SIMT_HOST_DEVICE static SampleLine side(const RoiGrid& grid, float length, std::int64_t pooled) {
    if (!grid.aligned) length = std::max(length, 1.0F);
    return SampleLine::of(-length / 2, length, pooled, grid.sampling_ratio);
  }

  // The offsets v that the map reaches: those of its corners, one cell further out.
  SIMT_HOST_DEVICE Interval reach_of(double map_width, double map_height) const {
    Interval reach{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
    for (const double corner_x : {-1.0, map_width})
      for (const double corner_y : {-1.0, map_height}) {
        const double v = (corner_x - x) * sin + (corner_y - y) * cos;
        reach.low = std::min(reach.low, v);
        reach.high = std::max(reach.high, v);
      }
    return reach;
  }
};

}  // namespace d2deploy
