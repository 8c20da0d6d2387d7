// The kernels of propose_cuda.h.
//
// A segment is an image on a level. Many blocks count the leading bits of all scores, and gather what can be among the
// best; then one block for each segment chooses, sorts, decodes and filters. After the suppression each proposal finds
// its place in the output by itself, since the levels are sorted.
#pragma once
#include "kernels/scratch.h"
#include "kernels/simt/introsort.h"
#include "kernels/simt/nms.h"
#include "operators/device_call.h"
#include "operators/generate_proposals/decode.h"
#include "operators/generate_proposals/rank.h"

namespace d2deploy {

constexpr int kMostProposalLevels = 16;

namespace propose {

using namespace simt;

constexpr int kLeadingBits = 11, kBins = 1 << kLeadingBits;
constexpr unsigned kThreads = 256, kSortThreads = 1024, kSuppressThreads = 512;
constexpr int kMostInBlock = 4096;   // keys that are sorted in the memory of a block
constexpr int kMostCompared = 8192;  // candidates that are all compared with each other
// As many scores are sorted by one thread where some are equal, as Caffe2 and PyTorch sort them on a CPU. It takes
// milliseconds for maps of usual sizes, where some scores are often equal; their order of equal ones is that of places,
// as in Caffe2's operator for GPUs.
constexpr int kMostSortedAlone = 256;

/// One level.
struct Level {
  const float *scores, *deltas, *anchors;
  AnchorGrid grid;
  Strides4 delta_strides;
  float cell;          // pixels of the image from one cell to the next
  bool channels_last;  // the scores
  int count, candidates;
  Word* keys;  // (images, count): of what can be a candidate

  /// Positions in the order (A, H, W) from those in the order (H, W, A), and back.
  SIMT_DEVICE int from_cells_first(int i) const {
    const auto anchors_ = static_cast<int>(grid.anchors);
    return i % anchors_ * (count / anchors_) + i / anchors_;
  }
  SIMT_DEVICE int to_cells_first(int i) const {
    const auto anchors_ = static_cast<int>(grid.anchors);
    const int cells = count / anchors_;
    return i % cells * anchors_ + i / cells;
  }
  SIMT_DEVICE float score(int image, int flat) const {
    return scores[std::int64_t{image} * count + (channels_last ? to_cells_first(flat) : flat)];
  }
};

struct Work {
  std::int32_t *bins, *found;        // (segments, kBins) and (segments), one behind the other
  Word* best;                        // (segments, most): sorted keys, where they do not fit into a block
  float *boxes, *ranks;              // (segments, most, columns) and (segments, most): of the candidates
  std::uint32_t* excluded;           // (segments, 2 tiles): a bit for each, whether filtered away
  std::int32_t* counts;              // (segments): candidates
  Word* mask;                        // of the suppression; few candidates alone
  std::uint8_t* dropped;             // (segments, most); many candidates alone
  std::int32_t *kept, *kept_counts;  // (segments, most) and (segments): candidates, best first
  float* kept_ranks;                 // (segments, most)

  Work() = default;
  Work(Scratch& scratch, std::int64_t segments, std::int64_t most, std::int64_t columns) {
    const bool compared = most <= kMostCompared;
    const std::int64_t tiles = nms_tiles(static_cast<int>(most)), all = checked_product(segments, most);
    bins = scratch.take<std::int32_t>(checked_product(segments, kBins + 1));
    found = bins + (bins == nullptr ? 0 : segments * kBins);
    best = scratch.take<Word>(most <= kMostInBlock ? 0 : all);
    boxes = scratch.take<float>(checked_product(all, columns));
    ranks = scratch.take<float>(all);
    excluded = scratch.take<std::uint32_t>(segments * tiles * 2);
    counts = scratch.take<std::int32_t>(segments);
    mask = scratch.take<Word>(compared ? checked_product(all, tiles) : 0);
    dropped = scratch.take<std::uint8_t>(compared ? 0 : all);
    kept = scratch.take<std::int32_t>(all);
    kept_counts = scratch.take<std::int32_t>(segments);
    kept_ranks = scratch.take<float>(all);
  }
};

struct Job {
  Level levels[kMostProposalLevels];
  int level_count, images, most, columns;
  DeviceRows image_rows;  // how many of the images there are
  const float* im_info;
  bool detectron2_order;
  float min_size;
  ProposalRule rule;
  NmsRule nms;
  int limit;  // of an image's proposals of all levels; <= 0: none
  Work work;
  float *rois, *probs;
  std::int32_t* slots[2];

  /// NaN must be a number to be sorted; PyTorch takes it for the highest.
  SIMT_DEVICE float rank(float score) const {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    if (!std::isnan(score)) return score;
    return detectron2_order ? kInfinity : -kInfinity;
  }
  /// Segments are numbered level by level.
  SIMT_DEVICE const Level& level_of(unsigned segment) const { return levels[static_cast<int>(segment) / images]; }
  SIMT_DEVICE int image_of(unsigned segment) const { return static_cast<int>(segment) % images; }
  SIMT_DEVICE std::int64_t at(unsigned segment) const { return std::int64_t{segment} * most; }
};

SIMT_KERNEL clear(std::int32_t* p, std::int64_t count) {
  for (std::int64_t i = first_item(); i < count; i += item_step()) p[i] = 0;
}

SIMT_DEVICE inline int leading_bits(float rank) { return static_cast<int>(rank_of(rank) >> (32 - kLeadingBits)); }

// How many scores have which leading bits. Blocks (any, segments).
SIMT_KERNEL count_ranks(Job job) {
  SIMT_SHARED(int, own, kBins);
  const Level& level = job.level_of(blockIdx.y);
  if (level.candidates == level.count) return;
  for (unsigned i = threadIdx.x; i < kBins; i += blockDim.x) own[i] = 0;
  __syncthreads();
  const float* scores = level.scores + std::int64_t{job.image_of(blockIdx.y)} * level.count;
  const auto step = static_cast<int>(gridDim.x * blockDim.x);
  for (auto i = static_cast<int>(first_item()); i < level.count; i += step)
    atomicAdd(&own[leading_bits(job.rank(scores[i]))], 1);
  __syncthreads();
  for (unsigned i = threadIdx.x; i < kBins; i += blockDim.x)
    if (own[i] != 0) atomicAdd(&job.work.bins[blockIdx.y * kBins + i], own[i]);
}

// The leading bits of the last candidate. For kThreads threads of a block.
SIMT_DEVICE inline int least_bits(const std::int32_t* bins, int candidates) {
  SIMT_SHARED(int, sums, kThreads);  // of the bins of a thread and of those behind it
  SIMT_SHARED(int, least, 1);
  constexpr unsigned kEach = kBins / kThreads;
  const unsigned thread = threadIdx.x;
  const std::int32_t* own = bins + thread * kEach;
  int sum = 0;
  for (unsigned i = 0; i < kEach; ++i) sum += own[i];
  sums[thread] = sum;
  if (thread == 0) least[0] = 0;
  for (unsigned step = 1; step < kThreads; step *= 2) {
    __syncthreads();
    const int behind = thread + step < kThreads ? sums[thread + step] : 0;
    __syncthreads();
    sums[thread] += behind;
  }
  int larger = sums[thread] - sum;  // scores than those of this thread's bins
  __syncthreads();
  for (unsigned i = kEach; i-- > 0;) {
    if (larger < candidates && larger + own[i] >= candidates)  // in one thread at most
      least[0] = static_cast<int>(thread * kEach + i);
    larger += own[i];
  }
  __syncthreads();
  return least[0];
}

// The keys of what can be a candidate. Equal scores rank by place: cells in the order (A, H, W), or (H, W, A) with
// detectron2_order. Blocks (any, segments) of kThreads threads.
SIMT_KERNEL gather_keys(Job job) {
  const Level& level = job.level_of(blockIdx.y);
  const bool all = level.candidates == level.count;
  const int least = all ? 0 : least_bits(job.work.bins + blockIdx.y * kBins, level.candidates);
  const std::int64_t first = std::int64_t{job.image_of(blockIdx.y)} * level.count;
  const auto step = static_cast<int>(gridDim.x * blockDim.x);
  for (auto i = static_cast<int>(first_item()); i < level.count; i += step) {
    const float rank = job.rank(level.scores[first + i]);
    if (!all && leading_bits(rank) < least) continue;
    int place = i;
    if (level.channels_last && !job.detectron2_order) place = level.from_cells_first(i);
    if (!level.channels_last && job.detectron2_order) place = level.to_cells_first(i);
    const int at = all ? i : atomicAdd(&job.work.found[blockIdx.y], 1);
    level.keys[first + at] = key_of(rank, static_cast<unsigned>(place));
  }
}

// Whether some candidate's score is that of another cell. `best`: the sorted candidates among `keys`.
SIMT_DEVICE inline bool has_equal(const Word* keys, int count, const Word* best, int candidates) {
  SIMT_SHARED(int, equal, 1);
  if (threadIdx.x == 0) equal[0] = 0;
  __syncthreads();
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  for (int i = thread + 1; i < candidates; i += threads)
    if (rank_in(best[i - 1]) == rank_in(best[i])) atomicOr(&equal[0], 1);
  for (int i = thread; i < count && candidates > 0; i += threads)
    if (keys[i] < best[candidates - 1] && rank_in(keys[i]) == rank_in(best[candidates - 1])) atomicOr(&equal[0], 1);
  __syncthreads();
  return equal[0] != 0;
}

// Makes `best` the keys of the candidates, best first.
SIMT_DEVICE inline void choose(const Word* keys, int count, int candidates, Word* best) {
  SIMT_SHARED(int, taken, 1);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  Word last = 0;
  if (candidates < count)
    last = bound_of_largest(candidates, [&](const auto& use) {
      for (int i = thread; i < count; i += threads) use(keys[i]);
    });
  if (thread == 0) taken[0] = 0;
  __syncthreads();
  for (int i = thread; i < count; i += threads)
    if (keys[i] >= last) best[atomicAdd(&taken[0], 1)] = keys[i];
  __syncthreads();
  sort_descending(best, candidates);
}

// What StandardSorting is to CPUs.
struct DeviceSorting {
  template <class Less>
  SIMT_HOST_DEVICE static void sort(std::int32_t* first, std::int64_t count, Less less) {
    sort_as_host(first, static_cast<int>(count), less);
  }
  template <class Less>
  SIMT_HOST_DEVICE static void partial_sort(std::int32_t* first, std::int64_t middle, std::int64_t count, Less less) {
    partial_sort_as_host(first, static_cast<int>(middle), static_cast<int>(count), less);
  }
  template <class Less>
  SIMT_HOST_DEVICE static void nth_element(std::int32_t* first, std::int64_t nth, std::int64_t count, Less less) {
    nth_element_as_host(first, static_cast<int>(nth), static_cast<int>(count), less);
  }
};

// The candidates in the order of the sorting functions, by one thread, in place of `best`. `memory`: as much as all
// keys take.
SIMT_DEVICE inline void choose_alone(const Job& job, const Level& level, int image, Word* memory, Word* best) {
  auto* ranks = reinterpret_cast<float*>(memory);
  auto* order = reinterpret_cast<std::int32_t*>(ranks + level.count);
  for (int i = static_cast<int>(threadIdx.x); i < level.count; i += static_cast<int>(blockDim.x))
    ranks[i] = job.rank(level.score(image, i));
  __syncthreads();
  if (threadIdx.x == 0) sort_cells<DeviceSorting>(job.detectron2_order, level.grid, ranks, level.candidates, order);
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < level.candidates; i += static_cast<int>(blockDim.x)) {
    const int place = job.detectron2_order ? level.to_cells_first(order[i]) : order[i];
    best[i] = key_of(ranks[order[i]], static_cast<unsigned>(place));
  }
  __syncthreads();
}

// Decodes candidate i of a segment, whose place is given; returns whether it stays.
SIMT_DEVICE inline bool decode(const Job& job, unsigned segment, int i, int place) {
  const Level& level = job.level_of(segment);
  const int image = job.image_of(segment);
  const int flat = job.detectron2_order ? level.from_cells_first(place) : place;
  const auto height = static_cast<int>(level.grid.height), width = static_cast<int>(level.grid.width);
  const int w = flat % width, h = flat / width % height, a = flat / width / height;
  const float score = level.score(image, flat);
  job.work.ranks[job.at(segment) + i] = score;
  const Strides4& s = level.delta_strides;
  const float* d = level.deltas + image * s.n + std::int64_t{a} * job.columns * s.c + h * s.h + w * s.w;
  float deltas[5];
  for (int k = 0; k < job.columns; ++k) deltas[k] = d[k * s.c];
  const auto limits = ProposalLimits::of(job.im_info + std::int64_t{image} * 3, job.min_size);
  const float dx = static_cast<float>(w) * level.cell, dy = static_cast<float>(h) * level.cell;
  const float* anchor = level.anchors + std::int64_t{a} * job.columns;
  float* box = job.work.boxes + (job.at(segment) + i) * job.columns;
  const bool stays = job.columns == 4 ? decode_upright(job.rule, limits, anchor, dx, dy, deltas, box)
                                      : decode_rotated(job.rule, limits, anchor, dx, dy, deltas, box);
  return stays && (!job.detectron2_order || std::isfinite(score));
}

// One block for each segment, with memory for `most` keys where these fit.
SIMT_KERNEL choose_and_decode(Job job) {
  const unsigned segment = blockIdx.x;
  const Level& level = job.level_of(segment);
  const int image = job.image_of(segment), candidates = level.candidates;
  const int count = candidates == level.count ? candidates : job.work.found[segment];
  Word* keys = level.keys + std::int64_t{image} * level.count;
  Word* best = job.most <= kMostInBlock ? dynamic_shared<Word>() : job.work.best + job.at(segment);
  choose(keys, count, candidates, best);
  if (level.count <= kMostSortedAlone && has_equal(keys, count, best, candidates))
    choose_alone(job, level, image, keys, best);
  std::uint32_t* excluded = job.work.excluded + std::int64_t{segment} * nms_tiles(job.most) * 2;
  if (threadIdx.x == 0) job.work.counts[segment] = candidates;
  const int padded = nms_tiles(candidates) * kNmsTile;
  for (int first = 0; first < padded; first += static_cast<int>(blockDim.x)) {
    const int i = first + static_cast<int>(threadIdx.x);
    const bool stays = i < candidates && decode(job, segment, i, static_cast<int>(place_in(best[i])));
    const unsigned staying = __ballot_sync(kAllLanes, stays ? 1 : 0);
    if (i < padded && i % static_cast<int>(kWarp) == 0) excluded[i / static_cast<int>(kWarp)] = ~staying;
  }
}

// Beside what is kept, its scores, by which levels are merged.
SIMT_DEVICE inline void list_kept(const Job& job, unsigned segment, int count) {
  if (threadIdx.x == 0) job.work.kept_counts[segment] = count;
  for (int k = static_cast<int>(threadIdx.x); k < count; k += static_cast<int>(blockDim.x))
    job.work.kept_ranks[job.at(segment) + k] =
        job.rank(job.work.ranks[job.at(segment) + job.work.kept[job.at(segment) + k]]);
}

// One block of kNmsReaders threads for each segment, with memory for a word for each tile.
SIMT_KERNEL suppress_compared(Job job) {
  const unsigned segment = blockIdx.x;
  const int tiles = nms_tiles(job.most), count = job.work.counts[segment];
  const std::uint32_t* excluded = job.work.excluded + std::int64_t{segment} * tiles * 2;
  Word* removed = dynamic_shared<Word>();
  for (int t = static_cast<int>(threadIdx.x); t < nms_tiles(count); t += static_cast<int>(kNmsReaders))
    removed[t] = Word{excluded[2 * t + 1]} << 32 | excluded[2 * t];
  __syncthreads();
  const int kept = nms_read(job.work.mask + job.at(segment) * tiles, count, job.most, job.nms.limit, removed,
                            job.work.kept + job.at(segment));
  list_kept(job, segment, kept);
}

// The same where candidates are many. One block for each segment.
template <class Boxes>
SIMT_KERNEL suppress_many(Job job) {
  const unsigned segment = blockIdx.x;
  const int count = job.work.counts[segment];
  const std::uint32_t* excluded = job.work.excluded + std::int64_t{segment} * nms_tiles(job.most) * 2;
  std::uint8_t* dropped = job.work.dropped + job.at(segment);
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x))
    dropped[i] = (excluded[i / 32] >> i % 32 & 1) != 0 ? 1 : 0;
  __syncthreads();
  const float* boxes = job.work.boxes + job.at(segment) * Boxes::kColumns;
  const int kept = nms_of_block<Boxes>(
      job.nms, count, [&](int i) { return boxes + std::int64_t{i} * Boxes::kColumns; }, dropped,
      job.work.kept + job.at(segment));
  __syncthreads();
  list_kept(job, segment, kept);
}

// How many of the scores, which descend, come before this one: those above it, and the equal ones if it comes last.
SIMT_DEVICE inline int before(const float* ranks, int count, float rank, bool last_of_equal) {
  int low = 0, high = count;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (ranks[middle] > rank || (last_of_equal && ranks[middle] == rank))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

SIMT_DEVICE inline std::int64_t proposals_of(const Job& job, int image) {
  if (image >= job.image_rows.count()) return 0;
  std::int64_t sum = 0;
  for (int l = 0; l < job.level_count; ++l) sum += job.work.kept_counts[l * job.images + image];
  return job.limit > 0 ? std::min<std::int64_t>(sum, job.limit) : sum;
}

// Image by image what is kept on all levels, best first, equal ones finest level first. Blocks (any, segments), one at
// least.
SIMT_KERNEL write_proposals(Job job) {
  if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) {
    std::int64_t rows = 0;
    for (int image = 0; image < job.images; ++image) rows += proposals_of(job, image);
    for (std::int32_t* slot : job.slots)
      if (slot != nullptr) *slot = static_cast<std::int32_t>(rows);
  }
  const unsigned segment = blockIdx.y;
  if (job.images == 0 || static_cast<int>(segment) >= job.level_count * job.images) return;
  const int image = job.image_of(segment), own_level = static_cast<int>(segment) / job.images;
  if (image >= job.image_rows.count()) return;
  std::int64_t first = 0;
  for (int i = 0; i < image; ++i) first += proposals_of(job, i);
  const int count = job.work.kept_counts[segment];
  for (auto k = static_cast<int>(first_item()); k < count; k += static_cast<int>(item_step())) {
    const float rank = job.work.kept_ranks[job.at(segment) + k];
    int place = k;
    for (int l = 0; l < job.level_count; ++l) {
      const auto other = static_cast<unsigned>(l * job.images + image);
      if (l != own_level)
        place += before(job.work.kept_ranks + job.at(other), job.work.kept_counts[other], rank, l < own_level);
    }
    if (job.limit > 0 && place >= job.limit) continue;
    const std::int64_t candidate = job.at(segment) + job.work.kept[job.at(segment) + k], row = first + place;
    float* roi = job.rois + row * (job.columns + 1);
    roi[0] = static_cast<float>(image);
    for (int c = 0; c < job.columns; ++c) roi[1 + c] = job.work.boxes[candidate * job.columns + c];
    if (job.probs != nullptr) job.probs[row] = job.work.ranks[candidate];
  }
}

}  // namespace propose

}  // namespace d2deploy
