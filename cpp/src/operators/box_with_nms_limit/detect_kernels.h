// The kernels of BoxWithNMSLimit for GPUs.
//
// Rows of an image stay together, class by class: what belongs to row r of class f stands at f * rows + r, with the
// candidates of an image, then its detections, at the front of its rows.
#pragma once
#include <algorithm>

#include "kernels/batch_splits.h"
#include "kernels/nms.h"
#include "kernels/scratch.h"
#include "kernels/simt/introsort.h"
#include "kernels/simt/nms.h"
#include "operators/device_call.h"

namespace d2deploy::detections {

using namespace simt;

constexpr unsigned kThreads = 256;
constexpr unsigned kDetectThreads = 512, kLimitThreads = 1024;  // of what takes few blocks
constexpr int kMostInBlock = 4096;                              // keys that are sorted in the memory of a block

struct Detection {
  float score;
  std::int32_t row, foreground;
};

struct Work {
  Word* keys;             // of candidates, best first; with soft suppression of those that are left
  std::int32_t* order;    // their rows
  float* live;            // with soft suppression their scores, as they are lowered
  std::uint8_t* dropped;  // whether suppressed
  std::int32_t* kept;     // rows of detections, best first, and their scores
  float* scores;
  std::int32_t* counts;  // detections of an image, by class
  bool* usable;          // rows that take part
  Detection* all;        // of all classes

  Work(Scratch& scratch, std::int64_t rows, std::int64_t classes, std::int64_t images)
      : keys(scratch.take<Word>(rows * classes)),
        order(scratch.take<std::int32_t>(rows * classes)),
        live(scratch.take<float>(rows * classes)),
        dropped(scratch.take<std::uint8_t>(rows * classes)),
        kept(scratch.take<std::int32_t>(rows * classes)),
        scores(scratch.take<float>(rows * classes)),
        counts(scratch.take<std::int32_t>(images * classes)),
        usable(scratch.take<bool>(rows)),
        all(scratch.take<Detection>(rows * classes)) {}
};

struct Outputs {
  float *scores, *boxes, *classes, *batch_splits;
  std::int32_t *keeps, *keeps_size;
  std::int32_t* slots[6];  // how many rows there are
};

struct Image {
  std::int64_t first, rows;
};

struct Job {
  float score_thresh;
  NmsRule nms;  // limited to as many detections as an image may have
  SoftNms soft;
  std::int64_t limit;  // of detections; <= 0: none
  bool detectron2_order;
  int columns;                                      // of a box
  std::int64_t score_column, box_column, box_step;  // of the first class; columns from one class's boxes to the next
  std::int64_t first_class;                         // the number of class 0

  const float *scores, *boxes;
  std::int64_t score_columns, box_columns;
  DeviceRows rows;
  const float* float_splits;  // of the two at most one is not null
  const std::int32_t* int_splits;
  std::int64_t images, classes;  // without the background
  Work work;
  Outputs y;
  DeviceFault* fault;

  SIMT_DEVICE std::int64_t split(std::int64_t image) const {
    if (float_splits != nullptr) return static_cast<std::int64_t>(float_splits[image]);
    return int_splits != nullptr ? int_splits[image] : rows.count();
  }
  SIMT_DEVICE Image image(std::int64_t index) const {
    if (fault->code != 0) return {0, 0};  // the splits are not to be trusted
    std::int64_t first = 0;
    for (std::int64_t i = 0; i < index; ++i) first += split(i);
    return {first, split(index)};
  }
  SIMT_DEVICE std::int64_t at(std::int64_t f, const Image& im) const { return f * rows.most + im.first; }
  SIMT_DEVICE float score(std::int64_t f, const Image& im, std::int32_t row) const {
    return scores[(im.first + row) * score_columns + score_column + f];
  }
  SIMT_DEVICE const float* box(std::int64_t f, const Image& im, std::int32_t row) const {
    return boxes + (im.first + row) * box_columns + box_column + f * box_step;
  }
  /// Of detection k of class f, among those of all classes.
  SIMT_DEVICE Word key(std::int64_t f, const Image& im, std::int32_t k) const {
    const std::int64_t i = at(f, im) + k;
    return key_of(work.scores[i], static_cast<unsigned>(work.kept[i] * classes + f));
  }
};

// One block.
SIMT_KERNEL start(Job job) {
  if (threadIdx.x != 0 || (job.float_splits == nullptr && job.int_splits == nullptr)) return;
  const std::int64_t rows = job.rows.count();
  const SplitFault found = job.float_splits != nullptr ? find_split_fault(job.float_splits, job.images, rows)
                                                       : find_split_fault(job.int_splits, job.images, rows);
  if (found.kind != SplitFault::none) *job.fault = {found.kind, found.index, found.found, static_cast<double>(rows)};
}

// Whether x is finite, for a warp, whose lanes all get the answer.
SIMT_DEVICE inline bool all_finite(const float* x, std::int64_t count) {
  bool finite = true;
  for (std::int64_t i = threadIdx.x % kWarp; i < count; i += kWarp) finite = finite && std::isfinite(x[i]);
  return __ballot_sync(kAllLanes, finite ? 0 : 1) == 0;
}

// A warp takes a row.
SIMT_KERNEL mark_usable(Job job) {
  const std::int64_t step = std::int64_t{gridDim.x} * (blockDim.x / kWarp);
  for (std::int64_t row = first_item() / kWarp; row < job.rows.count(); row += step) {
    const bool usable = !job.detectron2_order || (all_finite(job.scores + row * job.score_columns, job.score_columns) &&
                                                  all_finite(job.boxes + row * job.box_columns, job.box_columns));
    if (threadIdx.x % kWarp == 0) job.work.usable[row] = usable;
  }
}

// Keys whose places descend become such whose ranks do, and the other way round.
SIMT_DEVICE inline void swap_halves(Word* keys, int count) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x))
    keys[i] = keys[i] << 32 | keys[i] >> 32;
  __syncthreads();
}

// Rows of class f that score well enough, best first. Whether some score the same decides who sorts: std::sort, by one
// thread, where its order is asked for.
SIMT_DEVICE inline int rank_candidates(const Job& job, std::int64_t f, const Image& im) {
  SIMT_SHARED(int, count, 1);
  SIMT_SHARED(int, tied, 1);
  Word* keys = job.rows.most <= kMostInBlock ? dynamic_shared<Word>() : job.work.keys + job.at(f, im);
  if (threadIdx.x == 0) count[0] = tied[0] = 0;
  __syncthreads();
  for (std::int64_t row = threadIdx.x; row < im.rows; row += blockDim.x) {
    const float score = job.score(f, im, static_cast<std::int32_t>(row));
    if (job.work.usable[im.first + row] && score > job.score_thresh)
      keys[atomicAdd(&count[0], 1)] = key_of(score, static_cast<unsigned>(row));
  }
  __syncthreads();
  const int candidates = count[0], threads = static_cast<int>(blockDim.x);
  sort_descending(keys, candidates);
  if (!job.detectron2_order)
    for (int i = static_cast<int>(threadIdx.x) + 1; i < candidates; i += threads)
      if (rank_in(keys[i - 1]) == rank_in(keys[i])) atomicOr(&tied[0], 1);
  __syncthreads();
  if (tied[0] != 0) {  // in the order of rows first
    swap_halves(keys, candidates);
    sort_descending(keys, candidates);
    swap_halves(keys, candidates);
    if (threadIdx.x == 0) sort_as_host(keys, candidates, [](Word a, Word b) { return rank_in(a) > rank_in(b); });
    __syncthreads();
  }
  for (int i = static_cast<int>(threadIdx.x); i < candidates; i += threads)
    job.work.order[job.at(f, im) + i] = static_cast<std::int32_t>(place_in(keys[i]));
  __syncthreads();
  return candidates;
}

// One block for each class of each image.
template <class Boxes>
SIMT_KERNEL detect(Job job) {
  const std::int64_t f = blockIdx.x % job.classes, index = blockIdx.x / job.classes;
  const Image im = job.image(index);
  const int candidates = rank_candidates(job, f, im);
  const std::int32_t* order = job.work.order + job.at(f, im);
  std::uint8_t* dropped = job.work.dropped + job.at(f, im);
  std::int32_t* kept = job.work.kept + job.at(f, im);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  for (int i = thread; i < candidates; i += threads) dropped[i] = 0;
  __syncthreads();
  const int count = nms_of_block<Boxes>(
      job.nms, candidates, [&](int i) { return job.box(f, im, order[i]); }, dropped, kept);
  __syncthreads();
  for (int k = thread; k < count; k += threads) {
    kept[k] = order[kept[k]];
    job.work.scores[job.at(f, im) + k] = job.score(f, im, kept[k]);
  }
  if (thread == 0) job.work.counts[blockIdx.x] = count;
}

// The largest key of a block, for all its threads.
SIMT_DEVICE inline Word largest(Word key) {
  SIMT_SHARED(Word, by_warp, kThreads / kWarp);
  for (int lanes = static_cast<int>(kWarp) / 2; lanes > 0; lanes /= 2)
    key = std::max(key, __shfl_xor_sync(kAllLanes, key, lanes));
  if (threadIdx.x % kWarp == 0) by_warp[threadIdx.x / kWarp] = key;
  __syncthreads();
  for (unsigned warp = 0; warp < kThreads / kWarp; ++warp) key = std::max(key, by_warp[warp]);
  __syncthreads();  // the next call writes it again
  return key;
}

// The candidates of class f in the order of rows: a key has the score and the position; 0 is none.
SIMT_DEVICE inline int list_candidates(const Job& job, std::int64_t f, const Image& im) {
  SIMT_SHARED(int, count, 1);
  if (threadIdx.x == 0) count[0] = 0;
  __syncthreads();
  for (std::int64_t row = threadIdx.x; row < im.rows; row += blockDim.x) {
    const float score = job.score(f, im, static_cast<std::int32_t>(row));
    if (!job.work.usable[im.first + row] || !(score > job.score_thresh)) continue;
    const std::int64_t i = job.at(f, im) + atomicAdd(&count[0], 1);
    job.work.keys[i] = key_of(score, static_cast<unsigned>(row));
    job.work.order[i] = static_cast<std::int32_t>(row);
    job.work.live[i] = score;
  }
  __syncthreads();
  return count[0];
}

// Soft suppression, as soft_nms does it: it swaps the best with the first of those that are left, which changes who is
// the first of equal ones, and keeps the order of the others. Here none moves, but positions change.
// One block for each class of each image.
template <class Boxes>
SIMT_KERNEL detect_soft(Job job) {
  const std::int64_t f = blockIdx.x % job.classes, index = blockIdx.x / job.classes;
  const Image im = job.image(index);
  const std::int64_t base = job.at(f, im);
  const int candidates = list_candidates(job, f, im);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  Word* keys = job.work.keys + base;
  const std::int32_t* order = job.work.order + base;
  float *live = job.work.live + base, *scores = job.work.scores + base;
  SIMT_SHARED(int, best_index, 1);
  const auto frame_of = [&](int i) { return Boxes::load(job.box(f, im, order[i]), job.nms.plus_one); };
  int count = 0;
  for (;; ++count) {
    Word own_best = 0, own_first = 0;
    int own_index = 0;
    for (int i = thread; i < candidates; i += threads) {
      if (keys[i] == 0) continue;
      own_first = std::max(own_first, keys[i] & 0xFFFFFFFFU);  // the complement of the position
      if (keys[i] <= own_best) continue;
      own_best = keys[i];
      own_index = i;
    }
    const Word best = largest(own_best), first = largest(own_first);
    if (best == 0) break;
    if (own_best == best) best_index[0] = own_index;
    __syncthreads();
    const int chosen = best_index[0];
    const auto chosen_frame = frame_of(chosen);
    if (thread == 0) {
      job.work.kept[base + count] = order[chosen];
      scores[count] = live[chosen];
    }
    for (int i = thread; i < candidates; i += threads) {
      if (keys[i] == 0 || i == chosen) continue;
      const float score = live[i] * job.soft.weight(Boxes::overlap(chosen_frame, frame_of(i), job.nms.plus_one));
      const Word own = keys[i] & 0xFFFFFFFFU, position = own == first ? best & 0xFFFFFFFFU : own;
      live[i] = score;
      keys[i] = score >= job.soft.least_score ? key_of(score, ~static_cast<unsigned>(position)) : 0;
    }
    __syncthreads();
    if (thread == 0) keys[chosen] = 0;
    __syncthreads();
  }
  if (thread == 0) job.work.counts[blockIdx.x] = count;
}

// The best `limit` detections of an image as std::sort finds them, by one thread.
SIMT_DEVICE inline void limit_in_order_of_sort(const Job& job, const Image& im, std::int32_t* counts) {
  Detection* all = job.work.all + im.first * job.classes;
  std::int64_t total = 0;
  for (std::int64_t f = 0; f < job.classes; ++f)
    for (std::int64_t i = job.at(f, im); i < job.at(f, im) + counts[f]; ++i)
      all[total++] = {job.work.scores[i], job.work.kept[i], static_cast<std::int32_t>(f)};
  const bool by_row = job.detectron2_order;
  sort_as_host(all, static_cast<int>(total), [by_row](const Detection& a, const Detection& b) {
    if (a.score != b.score || !by_row) return a.score > b.score;
    return a.row != b.row ? a.row < b.row : a.foreground < b.foreground;
  });
  for (std::int64_t f = 0; f < job.classes; ++f) counts[f] = 0;
  for (std::int64_t n = 0; n < job.limit; ++n) {
    const std::int64_t f = all[n].foreground, i = job.at(f, im) + counts[f]++;
    job.work.kept[i] = all[n].row;
    job.work.scores[i] = all[n].score;
  }
}

// Calls use(f, k) for detection k of each class f of an image: a warp takes a class.
template <class F>
SIMT_DEVICE void for_each_detection(const Job& job, const std::int32_t* counts, const F& use) {
  for (std::int64_t f = threadIdx.x / kWarp; f < job.classes; f += blockDim.x / kWarp)
    for (auto k = static_cast<std::int32_t>(threadIdx.x % kWarp); k < counts[f]; k += static_cast<std::int32_t>(kWarp))
      use(f, k);
}

// Whether equal scores make a difference to which detections reach the key `last`, or to their order in a class. In
// Detectron2's order they do where soft suppression has found them out of it.
SIMT_DEVICE inline bool is_tied(const Job& job, const Image& im, const std::int32_t* counts, Word last) {
  SIMT_SHARED(int, tied, 1);
  if (threadIdx.x == 0) tied[0] = 0;
  __syncthreads();
  for_each_detection(job, counts, [&](std::int64_t f, std::int32_t k) {
    const Word key = job.key(f, im, k), before = k > 0 ? job.key(f, im, k - 1) : ~Word{0};
    const bool equal = rank_in(key) == rank_in(key < last ? last : before);
    if (job.detectron2_order ? key > before : equal) atomicOr(&tied[0], 1);
  });
  __syncthreads();
  return tied[0] != 0;
}

// The best `limit` detections of an image. Within a class the best come first already, so that only counts change.
// One block for each image.
SIMT_KERNEL limit_detections(Job job) {
  SIMT_SHARED(int, total, 1);
  const std::int64_t index = blockIdx.x;
  const Image im = job.image(index);
  std::int32_t* counts = job.work.counts + index * job.classes;
  if (threadIdx.x == 0) total[0] = 0;
  __syncthreads();
  for (std::int64_t f = threadIdx.x; f < job.classes; f += blockDim.x) atomicAdd(&total[0], counts[f]);
  __syncthreads();
  if (total[0] <= job.limit) return;
  const Word last = bound_of_largest(static_cast<int>(job.limit), [&](const auto& use) {
    for_each_detection(job, counts, [&](std::int64_t f, std::int32_t k) { use(job.key(f, im, k)); });
  });
  if (is_tied(job, im, counts, last)) {
    if (threadIdx.x == 0) limit_in_order_of_sort(job, im, counts);
    return;
  }
  for (std::int64_t f = threadIdx.x; f < job.classes; f += blockDim.x) {
    std::int32_t low = 0, high = counts[f];
    while (low < high) {
      const std::int32_t middle = (low + high) / 2;
      if (job.key(f, im, middle) < last)
        high = middle;
      else
        low = middle + 1;
    }
    counts[f] = low;
  }
}

}  // namespace d2deploy::detections
