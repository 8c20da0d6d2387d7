// From the highest cell of a heat map to a keypoint: what all kernels of HeatmapMaxKeypoint do in the same way.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/boxes.h"

namespace d2deploy {

/// One heat map; strides in elements.
struct HeatMap {
  const float* x;
  std::int64_t side, stride_h, stride_w;

  SIMT_HOST_DEVICE float at(std::int64_t row, std::int64_t column) const {
    return x[row * stride_h + column * stride_w];
  }
};

struct HeatCell {
  std::int64_t row = 0, column = 0;
};

struct HeatPeak {
  float dx, dy;  ///< from the middle of the cell, in cells
  float score;
};

/// The extremum of the quadratic f(d) = g - b.d + d.A d / 2 that fits the cell and its eight neighbours, at A d = b,
/// but no further than 1.5 cells away. Beyond the border the map is mirrored. (Differences are central.)
SIMT_HOST_DEVICE inline HeatPeak refine(const HeatMap& map, const HeatCell& cell) {
  const auto mirrored = [&](std::int64_t i) { return i < 0 ? std::int64_t{1} : i == map.side ? map.side - 2 : i; };
  float g[3][3];
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) g[i][j] = map.at(mirrored(cell.row + i - 1), mirrored(cell.column + j - 1));
  const float bx = -(g[1][2] - g[1][0]) / 2, by = -(g[2][1] - g[0][1]) / 2;
  const float xx = g[1][0] - 2 * g[1][1] + g[1][2], yy = g[0][1] - 2 * g[1][1] + g[2][1];
  const float xy = (g[2][2] - g[2][0] - g[0][2] + g[0][0]) / 4;
  const float det = xx * yy - xy * xy;
  constexpr float kLeastDet = 1e-4F, kMostStep = 1.5F;
  if (!(std::fabs(det) >= kLeastDet)) return {0, 0, g[1][1]};
  float dx = (yy * bx - xy * by) / det, dy = (xx * by - xy * bx) / det;
  if (!std::isfinite(dx) || !std::isfinite(dy)) return {0, 0, g[1][1]};
  if (const float larger = std::max(std::fabs(dx), std::fabs(dy)); larger > kMostStep) {
    dx *= kMostStep / larger;
    dy *= kMostStep / larger;
  }
  const float quadratic = xx * dx * dx + 2 * xy * dx * dy + yy * dy * dy;
  return {dx, dy, g[1][1] - (bx * dx + by * dy) + 0.5F * quadratic};
}

/// Writes x, y, score and probability, `stride` apart.
SIMT_HOST_DEVICE inline void write_keypoint(const HeatMap& map, const HeatCell& cell, const Box& box, float probability,
                                            float* out, std::int64_t stride) {
  const HeatPeak peak = refine(map, cell);
  const auto side = static_cast<float>(map.side);
  const float column = 0.5F + static_cast<float>(cell.column) + peak.dx;
  const float row = 0.5F + static_cast<float>(cell.row) + peak.dy;
  out[0] = box.x1 + column * std::max(box.x2 - box.x1, 1.0F) / side;
  out[stride] = box.y1 + row * std::max(box.y2 - box.y1, 1.0F) / side;
  out[2 * stride] = peak.score;
  out[3 * stride] = probability;
}

}  // namespace d2deploy
