// The choice among the RoIs of all levels on a GPU, shared with CollectAndDistributeFpnRpnProposals.
//
// How many images there are is not known, so rows are not sorted: each counts those that come before it.
#pragma once
#include <limits>

#include "kernels/scratch.h"
#include "kernels/simt/first_row.h"
#include "operators/collect_rpn_proposals/collect.h"
#include "operators/collect_rpn_proposals/collect_rpn_proposals.h"
#include "operators/device_call.h"

namespace d2deploy {

namespace collect_rpn {

using namespace simt;

constexpr int kMostLevels = 16;
constexpr unsigned kThreads = 256;

struct Level {
  const float *rois, *scores;
  DeviceRows rows;
  std::int64_t first;  // place of its first row
};

struct Job {
  Level levels[kMostLevels];
  int level_count;
  std::int64_t most;     // rows of all levels
  std::int64_t limit;    // of an image; <= 0: none
  float* scores;         // (most): NaN replaced
  std::int32_t* images;  // (most): -1 where there is no row
  std::int32_t* ranks;   // (most): among the rows of their image
  std::int32_t* count;   // rows that are chosen
  float* y;
  std::int32_t* slots[2];
  DeviceFault* fault;

  SIMT_DEVICE int level_of(std::int64_t place) const {
    int level = 0;
    while (level + 1 < level_count && place >= levels[level + 1].first) ++level;
    return level;
  }
  SIMT_DEVICE bool is_there(std::int64_t place) const {
    const Level& level = levels[level_of(place)];
    return place - level.first < level.rows.count();
  }
  SIMT_DEVICE const float* roi(std::int64_t place) const {
    const Level& level = levels[level_of(place)];
    return level.rois + (place - level.first) * 5;
  }
  SIMT_DEVICE bool chosen(std::int32_t image, std::int32_t rank) const {
    return image >= 0 && (limit <= 0 || rank < limit);
  }
};

SIMT_KERNEL list_rows(Job job) {
  if (blockIdx.x == 0) {
    const std::int64_t bad =
        first_row(job.most, [&](std::int64_t i) { return job.is_there(i) && !is_collected_image(*job.roi(i)); });
    if (threadIdx.x == 0 && bad >= 0) {
      const int level = job.level_of(bad);
      *job.fault = {1, bad - job.levels[level].first, *job.roi(bad), static_cast<double>(level)};
    }
  }
  for (std::int64_t i = first_item(); i < job.most; i += item_step()) {
    const Level& level = job.levels[job.level_of(i)];
    const bool counts = job.is_there(i) && is_collected_image(*job.roi(i));
    const float score = counts ? level.scores[i - level.first] : 0.0F;
    job.images[i] = counts ? static_cast<std::int32_t>(*job.roi(i)) : -1;
    job.scores[i] = std::isnan(score) ? -std::numeric_limits<float>::infinity() : score;
  }
}

// Calls use(place, image, value) for all rows, which the threads of the block fetch together.
template <class T, class F>
SIMT_DEVICE void for_all_rows(const Job& job, const T* values, const F& use) {
  SIMT_SHARED(std::int32_t, images, kThreads);
  SIMT_SHARED(T, tile, kThreads);
  for (std::int64_t first = 0; first < job.most; first += kThreads) {
    __syncthreads();
    const std::int64_t own = first + threadIdx.x;
    images[threadIdx.x] = own < job.most ? job.images[own] : -1;
    if (own < job.most) tile[threadIdx.x] = values[own];
    __syncthreads();
    for (unsigned i = 0; i < kThreads; ++i)
      if (images[i] >= 0) use(first + i, images[i], tile[i]);
  }
}

// Where each row stands among those of its image. Blocks of kThreads threads for all rows.
SIMT_KERNEL rank_rows(Job job) {
  const std::int64_t own = first_item();
  const std::int32_t image = own < job.most ? job.images[own] : -1;
  const float score = own < job.most ? job.scores[own] : 0.0F;
  std::int32_t rank = 0;
  for_all_rows(job, job.scores, [&](std::int64_t place, std::int32_t other, float other_score) {
    if (other == image && (other_score > score || (other_score == score && place < own))) ++rank;
  });
  if (own < job.most) job.ranks[own] = rank;
}

// The chosen rows, image by image. The same blocks.
SIMT_KERNEL write_rows(Job job) {
  const std::int64_t own = first_item();
  const std::int32_t image = own < job.most ? job.images[own] : -1;
  std::int32_t before = 0, all = 0;
  for_all_rows(job, job.ranks, [&](std::int64_t, std::int32_t other, std::int32_t rank) {
    if (!job.chosen(other, rank)) return;
    ++all;
    if (other < image) ++before;
  });
  if (own == 0) {
    *job.count = all;
    for (std::int32_t* slot : job.slots)
      if (slot != nullptr) *slot = all;
  }
  if (own >= job.most || !job.chosen(image, job.ranks[own])) return;
  const float* roi = job.roi(own);
  for (int c = 0; c < 5; ++c) job.y[std::int64_t{before + job.ranks[own]} * 5 + c] = roi[c];
}

inline void take_memory(Scratch& scratch, std::int64_t most, Job& job) {
  job.scores = scratch.take<float>(most);
  job.images = scratch.take<std::int32_t>(most);
  job.ranks = scratch.take<std::int32_t>(most);
  job.count = scratch.take<std::int32_t>(1);
}

}  // namespace collect_rpn

inline std::string reject_collect(const CallSite& site) {
  constexpr std::int64_t kMostRows = 1 << 17;  // each is compared with each
  if (site.inputs.size() > 2 * collect_rpn::kMostLevels)
    return join("takes at most ", collect_rpn::kMostLevels, " levels");
  return site.outputs[0].shape[0] <= kMostRows ? "" : join("takes at most ", kMostRows, " rows");
}

inline Prepared prepare_collect(const CallSite& site) {
  Scratch scratch;
  collect_rpn::Job job{};
  collect_rpn::take_memory(scratch, site.outputs[0].shape[0], job);
  Prepared prepared;
  prepared.scratch_bytes = scratch.bytes();
  return prepared;
}

/// Writes the chosen rows to output 0, and how many they are to `slots`, where these are not null.
/// Returns: where that number is, too.
inline const std::int32_t* launch_collect(const CollectRpnProposals::Params& p, const Call& call,
                                          std::initializer_list<std::int32_t*> slots) {
  using namespace collect_rpn;
  Job job{};
  const std::size_t levels = call.inputs.size() / 2;
  job.level_count = static_cast<int>(levels);
  for (std::size_t l = 0; l < levels; ++l) {
    job.levels[l] = {device_in<float>(call, l), device_in<float>(call, levels + l), rows_of_input(call, l), job.most};
    job.most += call.input(l).dim(0);
  }
  job.limit = p.rpn_post_nms_topN;
  job.y = device_out<float>(call, 0);
  std::copy(slots.begin(), slots.end(), job.slots);
  job.fault = call.fault;
  Scratch scratch(call.scratch);
  take_memory(scratch, job.most, job);
  const auto blocks = static_cast<unsigned>(std::max<std::int64_t>((job.most + kThreads - 1) / kThreads, 1));
  const Grid grid{blocks, kThreads, 0, stream_of(call)};
  launch("CollectRpnProposals: list_rows", list_rows, grid, job);
  launch("CollectRpnProposals: rank_rows", rank_rows, grid, job);
  launch("CollectRpnProposals: write_rows", write_rows, grid, job);
  return job.count;
}

/// What is wrong with a row, for either operator.
inline void report_collect(const char* op, const DeviceFault& fault) {
  check_collected_image(op, static_cast<std::size_t>(fault.wanted), fault.row, static_cast<float>(fault.found));
}

}  // namespace d2deploy
