#include "operators/box_with_nms_limit/box_with_nms_limit.h"

#include <algorithm>
#include <bit>
#include <tuple>

#include "core/threads.h"
#include "kernels/batch_splits.h"
#include "kernels/nms.h"
#include "kernels/scratch.h"

namespace d2deploy {

namespace {

using Params = BoxWithNMSLimit::Params;

struct Detection {
  float score;
  std::int32_t row;         // within the image
  std::int32_t foreground;  // class, counted from 0 without the background
};

constexpr std::int64_t kTasks = 16;  // classes differ much in cost; each task has memory of its own

// Class by class, `rows` entries each. One image at a time uses it.
struct Workspace {
  bool* usable;          // per row: some class of it is a candidate
  std::int32_t* kept;    // rows: the candidates, then those that are kept, best first
  float* scores;         // of those
  std::int64_t* counts;  // how many of each class
  Detection* all;        // detections of all classes
  float* nms;            // kTasks parts

  Workspace(Scratch& scratch, std::int64_t rows, std::int64_t classes, bool rotated)
      : usable(scratch.take<bool>(rows)),
        kept(scratch.take<std::int32_t>(rows * classes)),
        scores(scratch.take<float>(rows * classes)),
        counts(scratch.take<std::int64_t>(classes)),
        all(scratch.take<Detection>(rows * classes)),
        nms(scratch.take<float>(kTasks * nms_scratch_floats(rows, rotated))) {}
};

// Rows of one image.
struct Image {
  const Params& p;
  const float *scores, *boxes;
  std::int64_t rows, score_columns, box_columns;

  std::int64_t foreground() const { return score_columns - 1; }
  const float* score_column(std::int64_t f) const { return scores + (p.input_boxes_include_bg_cls ? f + 1 : f); }
  const float* class_boxes(std::int64_t f) const { return boxes + p.columns() * BoxWithNMSLimit::box_block(p, f + 1); }
};

bool all_finite(const float* x, std::int64_t n) {
  constexpr std::int32_t kMagnitude = 0x7FFFFFFF, kInfinity = 0x7F800000;
  std::int32_t most = 0;
  for (std::int64_t i = 0; i < n; ++i) most = std::max(most, std::bit_cast<std::int32_t>(x[i]) & kMagnitude);
  return most < kInfinity;
}

// Whether some class of the row is a candidate: most rows of a detector are background alone.
bool scores_well(const Image& im, std::int64_t row) {
  const float* x = im.score_column(0) + row * im.score_columns;
  std::int32_t above = 0;
  for (std::int64_t f = 0; f < im.foreground(); ++f) above |= x[f] > im.p.score_thresh ? 1 : 0;
  return above != 0;
}

void mark_usable(const Image& im, const Workspace& work) {
  parallel_for(im.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      work.usable[row] = scores_well(im, row) &&
                         (!im.p.detectron2_order || (all_finite(im.scores + row * im.score_columns, im.score_columns) &&
                                                     all_finite(im.boxes + row * im.box_columns, im.box_columns)));
  });
}

// The candidates of each class, in the order of rows. Scores are read once, as they lie: a class's own would be a
// cache line each.
void list_candidates(const Image& im, const Workspace& work) {
  std::fill_n(work.counts, im.foreground(), 0);
  for (std::int64_t row = 0; row < im.rows; ++row) {
    if (!work.usable[row]) continue;
    const float* x = im.score_column(0) + row * im.score_columns;
    for (std::int64_t f = 0; f < im.foreground(); ++f)
      if (x[f] > im.p.score_thresh) work.kept[f * im.rows + work.counts[f]++] = static_cast<std::int32_t>(row);
  }
}

// Suppression within class f; returns how many boxes are kept.
std::int64_t detect_class(const Image& im, std::int64_t f, const Workspace& work, float* nms) {
  std::int32_t* order = work.kept + f * im.rows;
  float* scores = work.scores + f * im.rows;
  const float* column = im.score_column(f);
  const auto score_of = [&](std::int32_t row) { return column[row * im.score_columns]; };
  std::int64_t count = work.counts[f];
  if (im.p.soft_nms_enabled) {
    std::transform(order, order + count, scores, score_of);
    const SoftNms rule{im.p.soft_nms_method == "gaussian", im.p.nms, im.p.soft_nms_sigma,
                       im.p.soft_nms_min_score_thres};
    if (im.p.rotated) return soft_nms_rotated(im.class_boxes(f), im.box_columns, order, scores, count, rule);
    return soft_nms(im.class_boxes(f), im.box_columns, order, scores, count, rule, im.p.legacy_plus_one);
  }
  std::sort(order, order + count, [&](std::int32_t a, std::int32_t b) {
    return score_of(a) > score_of(b) || (im.p.detectron2_order && score_of(a) == score_of(b) && a < b);
  });
  count = im.p.rotated ? greedy_nms_rotated(im.class_boxes(f), im.box_columns, order, count, im.p.nms,
                                            im.p.detections_per_im, nms)
                       : greedy_nms(im.class_boxes(f), im.box_columns, order, count, im.p.nms, im.p.legacy_plus_one,
                                    im.p.detections_per_im, nms);
  std::transform(order, order + count, scores, score_of);
  return count;
}

// The best detections_per_im of all classes, written back class by class in the order that sorting leaves.
void limit_detections(const Image& im, const Workspace& work) {
  std::int64_t total = 0;
  for (std::int64_t f = 0; f < im.foreground(); ++f) {
    for (std::int64_t k = f * im.rows; k < f * im.rows + work.counts[f]; ++k)
      work.all[total++] = {work.scores[k], work.kept[k], static_cast<std::int32_t>(f)};
  }
  if (im.p.detections_per_im <= 0 || total <= im.p.detections_per_im) return;
  std::sort(work.all, work.all + total, [&](const Detection& a, const Detection& b) {
    if (a.score != b.score || !im.p.detectron2_order) return a.score > b.score;
    return std::tie(a.row, a.foreground) < std::tie(b.row, b.foreground);
  });
  std::fill_n(work.counts, im.foreground(), 0);
  for (std::int64_t i = 0; i < im.p.detections_per_im; ++i) {
    const Detection& d = work.all[i];
    const std::int64_t k = d.foreground * im.rows + work.counts[d.foreground]++;
    work.kept[k] = d.row;
    work.scores[k] = d.score;
  }
}

// Appends the detections of one image; returns the number of rows so far.
std::int64_t write_detections(const Image& im, const Workspace& work, const Call& call, std::int64_t at) {
  float *scores = call.out<float>(0), *boxes = call.out<float>(1), *classes = call.out<float>(2);
  std::int32_t* keeps = call.has_output(4) ? call.out<std::int32_t>(4) : nullptr;
  const std::int64_t columns = im.p.columns(), first_class = im.p.output_classes_include_bg_cls ? 1 : 0;
  for (std::int64_t f = 0; f < im.foreground(); ++f)
    for (std::int64_t k = f * im.rows; k < f * im.rows + work.counts[f]; ++k, ++at) {
      scores[at] = work.scores[k];
      std::copy_n(im.class_boxes(f) + work.kept[k] * im.box_columns, columns, boxes + at * columns);
      classes[at] = static_cast<float>(f + first_class);
      if (keeps != nullptr) keeps[at] = work.kept[k];
    }
  return at;
}

void detect(const Image& im, const Workspace& work) {
  mark_usable(im, work);
  list_candidates(im, work);
  const std::int64_t classes = im.foreground(), tasks = std::min(kTasks, classes);
  parallel_for(tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task)
      for (std::int64_t f = classes * task / tasks; f < classes * (task + 1) / tasks; ++f)
        work.counts[f] = detect_class(im, f, work, work.nms + task * nms_scratch_floats(im.rows, im.p.rotated));
  });
  limit_detections(im, work);
}

std::int64_t rows_of(const Call& call, std::int64_t image) {
  if (!call.has_input(2)) return call.input(0).dim(0);
  const Tensor& splits = call.input(2);
  return splits.dtype() == DType::int32 ? splits.data<std::int32_t>()[image]
                                        : static_cast<std::int64_t>(splits.data<float>()[image]);
}

void check_batch_splits(const Call& call) {
  if (!call.has_input(2)) return;
  const Tensor& splits = call.input(2);
  const std::int64_t rows = call.input(0).dim(0);
  if (splits.dtype() == DType::int32)
    check_splits("BoxWithNMSLimit", splits.values<std::int32_t>(), rows);
  else
    check_splits("BoxWithNMSLimit", splits.values<float>(), rows);
}

void run(const Params& p, const Call& call) {
  check_batch_splits(call);
  const std::int64_t columns = call.input(0).dim(1), images = call.has_input(2) ? call.input(2).dim(0) : 1;
  Image im{p, call.in<float>(0), call.in<float>(1), 0, columns, call.input(1).dim(1)};
  std::int64_t total = 0;
  for (std::int64_t image = 0; image < images; ++image) {
    im.rows = rows_of(call, image);
    Scratch scratch(call.scratch);
    const Workspace work(scratch, im.rows, im.foreground(), p.rotated);
    detect(im, work);
    const std::int64_t before = total;
    total = write_detections(im, work, call, total);
    if (call.has_output(3)) call.out<float>(3)[image] = static_cast<float>(total - before);
    if (call.has_output(5)) {
      std::int32_t* sizes = call.out<std::int32_t>(5) + image * columns;
      sizes[0] = 0;  // the background
      std::transform(work.counts, work.counts + im.foreground(), sizes + 1,
                     [](std::int64_t count) { return static_cast<std::int32_t>(count); });
    }
    im.scores += im.rows * im.score_columns;
    im.boxes += im.rows * im.box_columns;
  }
  for (const std::size_t i : {0U, 1U, 2U, 4U})
    if (call.has_output(i)) call.write_rows(i, total);
}

}  // namespace

template <>
Kernels<BoxWithNMSLimit> kernels<BoxWithNMSLimit, Backend::cpu>() {
  return {{"greedy_f32", accepts_all<BoxWithNMSLimit>, run, [](const Params& p, const CallSite& site) {
             const Shape& scores = site.inputs[0].shape;
             Scratch scratch;
             const Workspace work(scratch, scores[0], scores[1] - 1, p.rotated);
             Prepared prepared;
             prepared.scratch_bytes = scratch.bytes();
             return prepared;
           }}};
}

}  // namespace d2deploy
