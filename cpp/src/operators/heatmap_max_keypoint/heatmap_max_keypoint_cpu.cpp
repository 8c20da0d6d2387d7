#include "operators/heatmap_max_keypoint/heatmap_max_keypoint.h"

#include <array>
#include <cmath>

#include "core/threads.h"
#include "kernels/boxes.h"
#include "kernels/exp.h"

namespace d2deploy {

namespace {

// One heat map; strides in elements.
struct Map {
  const float* x;
  std::int64_t side, stride_h, stride_w;

  float at(std::int64_t row, std::int64_t column) const { return x[row * stride_h + column * stride_w]; }
};

struct Cell {
  std::int64_t row = 0, column = 0;
};

// The first of the highest cells, in reading order.
Cell highest(const Map& map) {
  Cell best;
  float most = map.at(0, 0);
  for (std::int64_t row = 0; row < map.side; ++row)
    for (std::int64_t column = 0; column < map.side; ++column) {
      const float value = map.at(row, column);
      if (!(value > most) && !(std::isnan(most) && !std::isnan(value))) continue;
      most = value;
      best = {row, column};
    }
  return best;
}

struct Peak {
  float dx, dy;  // from the middle of the cell, in cells
  float score;
};

// The extremum of the quadratic f(d) = g - b.d + d.A d / 2 that fits the cell and its eight neighbours, at A d = b, but
// no further than 1.5 cells away. Beyond the border the map is mirrored. (Differences are central.)
Peak refine(const Map& map, const Cell& cell) {
  const auto mirrored = [&](std::int64_t i) { return i < 0 ? std::int64_t{1} : i == map.side ? map.side - 2 : i; };
  std::array<std::array<float, 3>, 3> g{};
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j)
      g[i][j] = map.at(mirrored(cell.row + static_cast<std::int64_t>(i) - 1),
                       mirrored(cell.column + static_cast<std::int64_t>(j) - 1));
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

// 1 / sum of exp(x - most), where `most` is the highest value.
float probability(const Map& map, float most) {
  double sum = 0;
  for (std::int64_t row = 0; row < map.side; ++row)
    for (std::int64_t column = 0; column < map.side; ++column)
      sum += static_cast<double>(exp_of_minus_abs(map.at(row, column) - most));
  return static_cast<float>(1 / sum);
}

void locate_keypoint(bool with_probability, const Map& map, const Box& box, float* out, std::int64_t stride) {
  const Cell cell = highest(map);
  const Peak peak = refine(map, cell);
  const auto side = static_cast<float>(map.side);
  const float column = 0.5F + static_cast<float>(cell.column) + peak.dx;
  const float row = 0.5F + static_cast<float>(cell.row) + peak.dy;
  out[0] = box.x1 + column * std::max(box.x2 - box.x1, 1.0F) / side;
  out[stride] = box.y1 + row * std::max(box.y2 - box.y1, 1.0F) / side;
  out[2 * stride] = peak.score;
  out[3 * stride] = with_probability ? probability(map, map.at(cell.row, cell.column)) : 0.0F;
}

void run(const HeatmapMaxKeypoint::Params& p, const Call& call) {
  const Tensor& maps = call.input(0);
  const Strides4 s = strides4(maps.type());
  const std::int64_t keypoints = maps.dim(1), columns = call.input(1).dim(1);
  parallel_for(maps.dim(0) * keypoints, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / keypoints, k = i % keypoints;
      const Map map{call.in<float>(0) + row * s.n + k * s.c, maps.dim(2), s.h, s.w};
      locate_keypoint(p.should_output_softmax, map, load_box(call.in<float>(1) + row * columns),
                      call.out<float>(0) + row * 4 * keypoints + k, keypoints);
    }
  });
}

}  // namespace

template <>
Kernels<HeatmapMaxKeypoint> kernels<HeatmapMaxKeypoint, Backend::cpu>() {
  return {{"loop_f32", accepts_all<HeatmapMaxKeypoint>, run}};
}

}  // namespace d2deploy
