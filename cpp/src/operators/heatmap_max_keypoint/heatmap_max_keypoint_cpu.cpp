#include "operators/heatmap_max_keypoint/heatmap_max_keypoint.h"

#include <cmath>

#include "core/threads.h"
#include "kernels/exp.h"
#include "operators/heatmap_max_keypoint/peak.h"

namespace d2deploy {

namespace {

// The first of the highest cells, in reading order.
HeatCell highest(const HeatMap& map) {
  HeatCell best;
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

// 1 / sum of exp(x - most), where `most` is the highest value.
float probability(const HeatMap& map, float most) {
  double sum = 0;
  for (std::int64_t row = 0; row < map.side; ++row)
    for (std::int64_t column = 0; column < map.side; ++column)
      sum += static_cast<double>(exp_of_minus_abs(map.at(row, column) - most));
  return static_cast<float>(1 / sum);
}

void locate_keypoint(bool with_probability, const HeatMap& map, const Box& box, float* out, std::int64_t stride) {
  const HeatCell cell = highest(map);
  const float most = map.at(cell.row, cell.column);
  write_keypoint(map, cell, box, with_probability ? probability(map, most) : 0.0F, out, stride);
}

void run(const HeatmapMaxKeypoint::Params& p, const Call& call) {
  const Tensor& maps = call.input(0);
  const Strides4 s = strides4(maps.type());
  const std::int64_t keypoints = maps.dim(1), columns = call.input(1).dim(1);
  parallel_for(maps.dim(0) * keypoints, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / keypoints, k = i % keypoints;
      const HeatMap map{call.in<float>(0) + row * s.n + k * s.c, maps.dim(2), s.h, s.w};
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
