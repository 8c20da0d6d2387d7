#include "kernels/exp.h"
#include "kernels/simt/ranks.h"
#include "operators/device_call.h"
#include "operators/heatmap_max_keypoint/heatmap_max_keypoint.h"
#include "operators/heatmap_max_keypoint/peak.h"

namespace d2deploy {

namespace {

using namespace simt;

constexpr unsigned kThreads = 256, kWarps = kThreads / kWarp;

struct Job {
  const float *maps, *boxes;
  DeviceRows rows;
  std::int64_t keypoints, side, columns;  // columns: of a row of boxes
  Strides4 strides;
  bool with_probability;
  float* y;
};

// The first of the highest cells, in reading order. NaN has no rank, the least one, so that it is never the highest;
// in a map of nothing else it is the first cell. For all threads of a block.
SIMT_DEVICE HeatCell highest(const HeatMap& map) {
  SIMT_SHARED(Word, best_of_warp, kWarps);
  const auto cells = static_cast<int>(map.side * map.side), side = static_cast<int>(map.side);
  Word best = 0;
  for (auto i = static_cast<int>(threadIdx.x); i < cells; i += static_cast<int>(kThreads)) {
    const float value = map.at(i / side, i % side);
    const Word key = std::isnan(value) ? Word{static_cast<unsigned>(~i)} : key_of(value, static_cast<unsigned>(i));
    best = std::max(best, key);
  }
  for (int lanes = static_cast<int>(kWarp) / 2; lanes > 0; lanes /= 2)
    best = std::max(best, __shfl_xor_sync(kAllLanes, best, lanes));
  if (threadIdx.x % kWarp == 0) best_of_warp[threadIdx.x / kWarp] = best;
  __syncthreads();
  for (unsigned warp = 0; warp < kWarps; ++warp) best = std::max(best, best_of_warp[warp]);
  const auto cell = static_cast<int>(place_in(best));
  return {cell / side, cell % side};
}

// 1 / sum of exp(x - most), where `most` is the highest value. For all threads of a block; the first has the answer.
SIMT_DEVICE float probability(const HeatMap& map, float most) {
  SIMT_SHARED(double, sum_of_warp, kWarps);
  const auto cells = static_cast<int>(map.side * map.side), side = static_cast<int>(map.side);
  double sum = 0;
  for (auto i = static_cast<int>(threadIdx.x); i < cells; i += static_cast<int>(kThreads))
    sum += static_cast<double>(exp_of_minus_abs(map.at(i / side, i % side) - most));
  for (int lanes = static_cast<int>(kWarp) / 2; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(kAllLanes, sum, lanes);
  if (threadIdx.x % kWarp == 0) sum_of_warp[threadIdx.x / kWarp] = sum;
  __syncthreads();
  sum = 0;
  for (unsigned warp = 0; warp < kWarps; ++warp) sum += sum_of_warp[warp];
  return static_cast<float>(1 / sum);
}

// One block for each map.
SIMT_KERNEL locate_keypoints(Job job) {
  const std::int64_t row = blockIdx.x / job.keypoints, k = blockIdx.x % job.keypoints;
  if (row >= job.rows.count()) return;
  const HeatMap map{job.maps + row * job.strides.n + k * job.strides.c, job.side, job.strides.h, job.strides.w};
  const HeatCell cell = highest(map);
  const float p = job.with_probability ? probability(map, map.at(cell.row, cell.column)) : 0.0F;
  if (threadIdx.x == 0)
    write_keypoint(map, cell, load_box(job.boxes + row * job.columns), p, job.y + row * 4 * job.keypoints + k,
                   job.keypoints);
}

void run(const HeatmapMaxKeypoint::Params& p, const Call& call) {
  const Tensor& maps = call.input(0);
  const Job job{device_in<float>(call, 0),
                device_in<float>(call, 1),
                rows_of_input(call, 0),
                maps.dim(1),
                maps.dim(2),
                call.input(1).dim(1),
                strides4(maps.type()),
                p.should_output_softmax,
                device_out<float>(call, 0)};
  const std::int64_t all = maps.dim(0) * maps.dim(1);
  if (all == 0) return;
  launch("HeatmapMaxKeypoint", locate_keypoints, {static_cast<unsigned>(all), kThreads, 0, stream_of(call)}, job);
}

std::string reject(const HeatmapMaxKeypoint::Params&, const CallSite& site) {
  const Shape& maps = site.inputs[0].shape;
  const double all = static_cast<double>(maps[0]) * static_cast<double>(maps[1]);
  if (all > INT32_MAX) return "takes at most 2^31 - 1 maps";
  return maps[2] * maps[2] <= INT32_MAX ? "" : "takes at most 2^31 - 1 cells of a map";
}

}  // namespace

template <>
Kernels<HeatmapMaxKeypoint> kernels<HeatmapMaxKeypoint, Backend::cuda>() {
  return {{"block_f32", reject, run}};
}

}  // namespace d2deploy
