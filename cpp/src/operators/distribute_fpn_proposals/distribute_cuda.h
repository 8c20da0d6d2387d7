// The work of DistributeFpnProposals on a GPU, shared with CollectAndDistributeFpnRpnProposals.
#pragma once
#include "kernels/fpn_levels.h"
#include "operators/device_call.h"
#include "operators/distribute_fpn_proposals/distribute_fpn_proposals.h"

namespace d2deploy {

namespace distribute_fpn {

using namespace simt;

constexpr int kMostLevels = 16;  // as many as infer allows
constexpr unsigned kThreads = 1024, kWarps = kThreads / kWarp;

struct Job {
  FpnLevels fpn;
  const float* rois;
  DeviceRows rows;
  std::int64_t columns;
  int levels;
  float* out[kMostLevels];
  std::int32_t* restore;
  std::int32_t* slots[kMostLevels];

  SIMT_DEVICE Box box(std::int64_t row) const { return load_box(rois + (row + 1) * columns - 4); }
};

// Which of the rows before one in its warp, and in all, are of its level: counts by warp are added up in memory of the
// block. One block, which takes kThreads rows at a time.
SIMT_KERNEL distribute(Job job) {
  SIMT_SHARED(std::int32_t, counts, kMostLevels);            // of the rows taken so far
  SIMT_SHARED(std::int32_t, by_warp, kMostLevels * kWarps);  // of the rows of each warp
  const std::int64_t rows = job.rows.count();
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  if (threadIdx.x < kMostLevels) counts[threadIdx.x] = 0;
  __syncthreads();
  for (std::int64_t first = 0; first < rows; first += kThreads) {
    const std::int64_t row = first + threadIdx.x;
    const int level = row < rows ? static_cast<int>(job.fpn.index(job.box(row))) : -1;
    int place = 0;
    for (int l = 0; l < job.levels; ++l) {
      const unsigned same = __ballot_sync(kAllLanes, level == l ? 1 : 0);
      if (level == l) place = __popc(same & ((1U << lane) - 1));
      if (lane == 0) by_warp[l * static_cast<int>(kWarps) + static_cast<int>(warp)] = __popc(same);
    }
    __syncthreads();
    if (row < rows) {
      place += counts[level];
      for (unsigned w = 0; w < warp; ++w) place += by_warp[level * static_cast<int>(kWarps) + static_cast<int>(w)];
      float* out = job.out[level] + std::int64_t{place} * 5;
      out[0] = job.columns == 5 ? job.rois[row * job.columns] : 0.0F;
      store_box(job.box(row), out + 1);
      job.restore[row] = place;
    }
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < job.levels)
      for (unsigned w = 0; w < kWarps; ++w) counts[threadIdx.x] += by_warp[threadIdx.x * kWarps + w];
    __syncthreads();
  }
  // Levels stand one after the other.
  for (std::int64_t row = threadIdx.x; row < rows; row += kThreads) {
    const std::int64_t level = job.fpn.index(job.box(row));
    for (std::int64_t l = 0; l < level; ++l) job.restore[row] += counts[l];
  }
  if (static_cast<int>(threadIdx.x) < job.levels && job.slots[threadIdx.x] != nullptr)
    *job.slots[threadIdx.x] = counts[threadIdx.x];
}

}  // namespace distribute_fpn

/// As `distribute` for CPUs does.
inline void launch_distribute(const DistributeFpnProposals::Params& p, const float* rois, std::int64_t columns,
                              const DeviceRows& rows, const Call& call, std::size_t first_output) {
  using namespace distribute_fpn;
  Job job{{static_cast<float>(p.roi_canonical_scale), static_cast<float>(p.roi_canonical_level), p.roi_min_level,
           p.roi_max_level, p.legacy_plus_one ? 1.0F : 0.0F},
          rois,
          rows,
          columns,
          static_cast<int>(p.roi_max_level - p.roi_min_level + 1),
          {},
          nullptr,
          {}};
  for (int l = 0; l < job.levels; ++l) {
    const std::size_t output = first_output + static_cast<std::size_t>(l);
    job.out[l] = device_out<float>(call, output);
    job.slots[l] = slot_of_output(call, output);
  }
  job.restore = device_out<std::int32_t>(call, first_output + static_cast<std::size_t>(job.levels));
  simt::launch("DistributeFpnProposals", distribute, {1, kThreads, 0, stream_of(call)}, job);
}

}  // namespace d2deploy
