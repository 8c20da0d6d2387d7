// Rows of an image stay together, class by class: what belongs to row r of class f stands at f * rows + r, with the
// candidates of an image, then its detections, at the front of its rows.
#include <algorithm>

#include "kernels/batch_splits.h"
#include "kernels/boxes.h"
#include "kernels/scratch.h"
#include "kernels/simt/ranks.h"
#include "operators/box_with_nms_limit/box_with_nms_limit.h"
#include "operators/device_call.h"

namespace d2deploy {

namespace {

using namespace simt;
using Params = BoxWithNMSLimit::Params;

constexpr unsigned kThreads = 256;

struct Detection {
  float score;
  std::int32_t row, foreground;
};

struct Work {
  Word* keys;             // of candidates, best first
  std::int32_t* order;    // their rows
  std::uint8_t* dropped;  // whether suppressed
  std::int32_t* kept;     // rows of detections, best first
  std::int32_t* counts;   // detections of an image, by class
  std::int32_t* tied;     // whether some candidates of an image have equal scores
  bool* usable;           // rows that take part
  Detection* all;         // of all classes

  Work(Scratch& scratch, std::int64_t rows, std::int64_t classes, std::int64_t images)
      : keys(scratch.take<Word>(rows * classes)),
        order(scratch.take<std::int32_t>(rows * classes)),
        dropped(scratch.take<std::uint8_t>(rows * classes)),
        kept(scratch.take<std::int32_t>(rows * classes)),
        counts(scratch.take<std::int32_t>(images * classes)),
        tied(scratch.take<std::int32_t>(images)),
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
  float score_thresh, nms, plus_one;
  std::int64_t limit;  // of detections; <= 0: none
  bool detectron2_order;
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
  /// Among detections of all classes.
  SIMT_DEVICE Word key(std::int64_t f, const Image& im, std::int32_t row) const {
    return key_of(score(f, im, row), static_cast<unsigned>(row * classes + f));
  }
};

// One block.
SIMT_KERNEL start(Job job) {
  for (std::int64_t i = threadIdx.x; i < job.images; i += blockDim.x) job.work.tied[i] = 0;
  if (threadIdx.x != 0 || (job.float_splits == nullptr && job.int_splits == nullptr)) return;
  const std::int64_t rows = job.rows.count();
  const SplitFault found = job.float_splits != nullptr ? find_split_fault(job.float_splits, job.images, rows)
                                                       : find_split_fault(job.int_splits, job.images, rows);
  if (found.kind != SplitFault::none) *job.fault = {found.kind, found.index, found.found, static_cast<double>(rows)};
}

SIMT_DEVICE bool all_finite(const float* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    if (!std::isfinite(x[i])) return false;
  return true;
}

SIMT_KERNEL mark_usable(Job job) {
  for (std::int64_t row = first_item(); row < job.rows.count(); row += item_step())
    job.work.usable[row] =
        !job.detectron2_order || (all_finite(job.scores + row * job.score_columns, job.score_columns) &&
                                  all_finite(job.boxes + row * job.box_columns, job.box_columns));
}

// Rows of class f that score well enough, best first. Whether some score the same decides who sorts: std::sort, by one
// thread, where its order is asked for.
SIMT_DEVICE int rank_candidates(const Job& job, std::int64_t f, std::int64_t index, const Image& im) {
  SIMT_SHARED(int, count, 1);
  SIMT_SHARED(int, tied, 1);
  Word* keys = job.work.keys + job.at(f, im);
  std::int32_t* order = job.work.order + job.at(f, im);
  if (threadIdx.x == 0) count[0] = tied[0] = 0;
  __syncthreads();
  for (std::int64_t row = threadIdx.x; row < im.rows; row += blockDim.x) {
    const float score = job.score(f, im, static_cast<std::int32_t>(row));
    if (job.work.usable[im.first + row] && score > job.score_thresh)
      keys[atomicAdd(&count[0], 1)] = key_of(score, static_cast<unsigned>(row));
  }
  __syncthreads();
  const int candidates = count[0];
  sort_descending(keys, candidates);
  for (int i = static_cast<int>(threadIdx.x); i < candidates; i += static_cast<int>(blockDim.x)) {
    order[i] = static_cast<std::int32_t>(place_in(keys[i]));
    if (!job.detectron2_order && i > 0 && rank_in(keys[i - 1]) == rank_in(keys[i])) atomicOr(&tied[0], 1);
  }
  __syncthreads();
  if (tied[0] != 0 && threadIdx.x == 0) {
    atomicOr(&job.work.tied[index], 1);
    std::sort(order, order + candidates);
    std::sort(order, order + candidates,
              [&](std::int32_t a, std::int32_t b) { return job.score(f, im, a) > job.score(f, im, b); });
  }
  __syncthreads();
  return candidates;
}

// One block for each class of each image.
SIMT_KERNEL detect(Job job) {
  const std::int64_t f = blockIdx.x % job.classes, index = blockIdx.x / job.classes;
  const Image im = job.image(index);
  const int candidates = rank_candidates(job, f, index, im);
  const std::int32_t* order = job.work.order + job.at(f, im);
  std::uint8_t* dropped = job.work.dropped + job.at(f, im);
  std::int32_t* kept = job.work.kept + job.at(f, im);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  for (int i = thread; i < candidates; i += threads) dropped[i] = 0;
  __syncthreads();
  std::int32_t count = 0;
  for (int i = 0; i < candidates && (job.limit <= 0 || count < job.limit); ++i) {
    if (dropped[i] != 0) continue;
    if (thread == 0) kept[count] = order[i];
    ++count;
    const Box best = load_box(job.box(f, im, order[i]));
    const float best_area = area(best, job.plus_one);
    for (int j = i + 1 + thread; j < candidates; j += threads) {
      const Box b = load_box(job.box(f, im, order[j]));
      if (!(iou(best, best_area, b, area(b, job.plus_one), job.plus_one) <= job.nms)) dropped[j] = 1;
    }
    __syncthreads();
  }
  if (thread == 0) job.work.counts[index * job.classes + f] = count;
}

// The best `limit` detections of an image as std::sort finds them, by one thread.
SIMT_DEVICE void limit_in_order_of_sort(const Job& job, const Image& im, std::int32_t* counts) {
  Detection* all = job.work.all + im.first * job.classes;
  std::int64_t total = 0;
  for (std::int64_t f = 0; f < job.classes; ++f)
    for (std::int32_t k = 0; k < counts[f]; ++k) {
      const std::int32_t row = job.work.kept[job.at(f, im) + k];
      all[total++] = {job.score(f, im, row), row, static_cast<std::int32_t>(f)};
    }
  std::sort(all, all + total, [](const Detection& a, const Detection& b) { return a.score > b.score; });
  for (std::int64_t f = 0; f < job.classes; ++f) counts[f] = 0;
  for (std::int64_t i = 0; i < job.limit; ++i) {
    const std::int64_t f = all[i].foreground;
    job.work.kept[job.at(f, im) + counts[f]++] = all[i].row;
  }
}

// The best `limit` detections of an image. Within a class the best come first already, so that only counts change.
// One block for each image.
SIMT_KERNEL limit_detections(Job job) {
  SIMT_SHARED(int, total, 1);
  SIMT_SHARED(int, tied, 1);
  const std::int64_t index = blockIdx.x;
  const Image im = job.image(index);
  std::int32_t* counts = job.work.counts + index * job.classes;
  if (threadIdx.x == 0) {
    total[0] = 0;
    tied[0] = job.work.tied[index];
  }
  __syncthreads();
  for (std::int64_t f = threadIdx.x; f < job.classes; f += blockDim.x) atomicAdd(&total[0], counts[f]);
  __syncthreads();
  if (total[0] <= job.limit) return;
  const auto for_each_key = [&](const auto& use) {
    for (std::int64_t f = 0; f < job.classes; ++f)
      for (std::int32_t k = static_cast<std::int32_t>(threadIdx.x); k < counts[f];
           k += static_cast<std::int32_t>(blockDim.x))
        use(job.key(f, im, job.work.kept[job.at(f, im) + k]));
  };
  const Word last = kth_largest(static_cast<int>(job.limit), for_each_key);
  if (!job.detectron2_order)
    for_each_key([&](Word key) {
      if (key < last && rank_in(key) == rank_in(last)) atomicOr(&tied[0], 1);
    });
  __syncthreads();
  if (tied[0] != 0) {
    if (threadIdx.x == 0) limit_in_order_of_sort(job, im, counts);
    return;
  }
  for (std::int64_t f = threadIdx.x; f < job.classes; f += blockDim.x) {
    const std::int32_t* kept = job.work.kept + job.at(f, im);
    while (counts[f] > 0 && job.key(f, im, kept[counts[f] - 1]) < last) --counts[f];
  }
}

// The sum of counts [begin, end), for all threads of a block.
SIMT_DEVICE int sum_of(const std::int32_t* counts, std::int64_t begin, std::int64_t end) {
  SIMT_SHARED(int, sum, 1);
  if (threadIdx.x == 0) sum[0] = 0;
  __syncthreads();
  for (std::int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) atomicAdd(&sum[0], counts[i]);
  __syncthreads();
  const int result = sum[0];
  __syncthreads();  // the next call writes it again
  return result;
}

// How many detections there are. One block for each image, and one if there is none.
SIMT_KERNEL write_counts(Job job) {
  const std::int64_t index = blockIdx.x;
  if (index < job.images) {
    const int detections = sum_of(job.work.counts, index * job.classes, (index + 1) * job.classes);
    if (threadIdx.x == 0 && job.y.batch_splits != nullptr) job.y.batch_splits[index] = static_cast<float>(detections);
    if (job.y.keeps_size != nullptr) {
      std::int32_t* sizes = job.y.keeps_size + index * (job.classes + 1);
      if (threadIdx.x == 0) sizes[0] = 0;  // the background
      for (std::int64_t f = threadIdx.x; f < job.classes; f += blockDim.x)
        sizes[f + 1] = job.work.counts[index * job.classes + f];
    }
  }
  if (index != 0) return;
  const int all = sum_of(job.work.counts, 0, job.images * job.classes);
  if (threadIdx.x != 0) return;
  for (std::int32_t* slot : job.y.slots)
    if (slot != nullptr) *slot = all;
}

// The detections of class f of an image, behind those of the classes and images before. One block for each.
SIMT_KERNEL write_detections(Job job) {
  const std::int64_t f = blockIdx.x % job.classes, index = blockIdx.x / job.classes;
  const Image im = job.image(index);
  const std::int64_t first = sum_of(job.work.counts, 0, blockIdx.x);
  const std::int32_t count = job.work.counts[blockIdx.x];
  for (std::int64_t k = threadIdx.x; k < count; k += blockDim.x) {
    const std::int32_t row = job.work.kept[job.at(f, im) + k];
    const std::int64_t at = first + k;
    job.y.scores[at] = job.score(f, im, row);
    store_box(load_box(job.box(f, im, row)), job.y.boxes + at * 4);
    job.y.classes[at] = static_cast<float>(f + job.first_class);
    if (job.y.keeps != nullptr) job.y.keeps[at] = row;
  }
}

Job make_job(const Params& p, const Call& call) {
  const std::int64_t rows = call.input(0).dim(0), classes = call.input(0).dim(1) - 1;
  const bool several = call.has_input(2);
  const bool ints = several && call.input(2).dtype() == DType::int32;
  const std::int64_t images = several ? call.input(2).dim(0) : 1;
  Scratch scratch(call.scratch);
  const std::int64_t block = p.cls_agnostic_bbox_reg ? 0 : 4;
  Job job{p.score_thresh,
          p.nms,
          p.legacy_plus_one ? 1.0F : 0.0F,
          p.detections_per_im,
          p.detectron2_order,
          p.input_boxes_include_bg_cls ? 1 : 0,
          4 * BoxWithNMSLimit::box_block(p, 1),
          block,
          p.output_classes_include_bg_cls ? 1 : 0,
          device_in<float>(call, 0),
          device_in<float>(call, 1),
          classes + 1,
          call.input(1).dim(1),
          rows_of_input(call, 0),
          several && !ints ? device_in<float>(call, 2) : nullptr,
          ints ? device_in<std::int32_t>(call, 2) : nullptr,
          images,
          classes,
          Work(scratch, rows, classes, images),
          {device_out<float>(call, 0),
           device_out<float>(call, 1),
           device_out<float>(call, 2),
           device_out<float>(call, 3),
           device_out<std::int32_t>(call, 4),
           device_out<std::int32_t>(call, 5),
           {}},
          call.fault};
  for (const std::size_t i : {0U, 1U, 2U, 4U}) job.y.slots[i] = slot_of_output(call, i);
  return job;
}

void run(const Params& p, const Call& call) {
  const Job job = make_job(p, call);
  const auto each_class = static_cast<unsigned>(job.images * job.classes);
  const auto go = [&](const char* name, void (*kernel)(Job), unsigned blocks) {
    if (blocks > 0) launch(name, kernel, {blocks, kThreads, 0, stream_of(call)}, job);
  };
  go("BoxWithNMSLimit: start", start, 1);
  go("BoxWithNMSLimit: mark_usable", mark_usable, blocks_for(job.rows.most, kThreads));
  go("BoxWithNMSLimit: detect", detect, each_class);
  if (job.limit > 0 && job.classes > 0)
    go("BoxWithNMSLimit: limit_detections", limit_detections, static_cast<unsigned>(job.images));
  go("BoxWithNMSLimit: write_counts", write_counts, static_cast<unsigned>(std::max<std::int64_t>(job.images, 1)));
  go("BoxWithNMSLimit: write_detections", write_detections, each_class);
}

std::int64_t images_of(const CallSite& site) { return site.inputs.size() > 2 ? site.inputs[2].shape[0] : 1; }

std::string reject(const Params& p, const CallSite& site) {
  if (p.soft_nms_enabled) return "takes soft_nms_enabled=0 only";
  if (p.rotated) return "takes rotated=0 only";
  const Shape& scores = site.inputs[0].shape;
  if (static_cast<double>(scores[0]) * static_cast<double>(scores[1]) > INT32_MAX ||
      static_cast<double>(images_of(site)) * static_cast<double>(scores[1]) > INT32_MAX)
    return "takes at most 2^31 - 1 scores";
  return {};
}

Prepared prepare(const Params&, const CallSite& site) {
  const Shape& scores = site.inputs[0].shape;
  Scratch scratch;
  const Work work(scratch, scores[0], scores[1] - 1, images_of(site));
  Prepared prepared;
  prepared.scratch_bytes = scratch.bytes();
  return prepared;
}

void report(const Params&, const CallSite&, const DeviceFault& fault) {
  const SplitFault found{static_cast<SplitFault::Kind>(fault.code), fault.row, fault.found};
  check_split_fault(BoxWithNMSLimit::signature.type, found, static_cast<std::int64_t>(fault.wanted));
}

}  // namespace

template <>
Kernels<BoxWithNMSLimit> kernels<BoxWithNMSLimit, Backend::cuda>() {
  return {{"greedy_f32", reject, run, prepare, nullptr, DType::float32, report}};
}

}  // namespace d2deploy
