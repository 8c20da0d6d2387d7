#include "detector/detections.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "kernels/batch_splits.h"

namespace d2deploy {

namespace {

bool all_finite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float v) { return std::isfinite(v); });
}

template <class T>
std::vector<T> picked(const std::vector<T>& values, std::int64_t columns, std::span<const std::int64_t> kept) {
  if (values.empty()) return {};
  std::vector<T> out;
  out.reserve(kept.size() * static_cast<std::size_t>(columns));
  for (const std::int64_t i : kept) out.insert(out.end(), &values[i * columns], &values[i * columns] + columns);
  return out;
}

void sort_by(RowOrder order, Detections& found) {
  if (order == RowOrder::file) return;
  std::vector<std::int64_t> kept(found.scores.size());
  std::iota(kept.begin(), kept.end(), 0);
  std::ranges::stable_sort(kept, [&](std::int64_t a, std::int64_t b) { return found.scores[a] > found.scores[b]; });
  keep(found, kept);
}

std::int64_t class_of(float value, std::int64_t row) {
  constexpr float kMostClasses = 1 << 24;  // the integers that float32 has
  check<InvalidModel>(value >= 0 && value < kMostClasses, "row ", row, " of the detections is of class ", value,
                      "; classes are numbered from 0");
  return static_cast<std::int64_t>(value);
}

}  // namespace

void check_output(const char* name, const Tensor& output, std::size_t rank, std::int64_t rows) {
  check<InvalidModel>(output.dtype() == DType::float32, "output '", name, "' must be float32, got ", output.dtype());
  check<InternalError>(output.layout() == Layout::row_major, "output '", name, "' is not row-major");
  check<InvalidModel>(output.shape().rank() == rank && (rank == 0 || output.dim(0) >= rows), "output '", name,
                      "' must have ", rank, " dimensions and ", rows, " rows or more, got ", output.shape());
}

std::vector<std::int64_t> first_rows(const Tensor* splits, std::int64_t images, std::int64_t rows) {
  if (images == 1) return {0, rows};
  check<InvalidModel>(splits != nullptr, "several images were run, but there is no output batch_splits");
  check_output("batch_splits", *splits, 1, images);
  check<InvalidModel>(splits->dim(0) == images, "output 'batch_splits' has ", splits->dim(0), " rows for ", images,
                      " images");
  const SplitFault fault = find_split_fault(splits->data<float>(), images, rows);
  check<InvalidModel>(fault.kind == SplitFault::none, "output 'batch_splits' does not count the ", rows,
                      " detections: number ", fault.index, " is ", fault.found);
  std::vector<std::int64_t> first{0};
  for (const float count : splits->values<float>()) first.push_back(first.back() + static_cast<std::int64_t>(count));
  return first;
}

void keep(Detections& found, std::span<const std::int64_t> kept) {
  found.boxes = picked(found.boxes, found.columns, kept);
  found.scores = picked(found.scores, 1, kept);
  found.classes = picked(found.classes, 1, kept);
  found.rows = picked(found.rows, 1, kept);
}

Detections collect_detections(const Tensor& boxes, const Tensor& scores, const Tensor& classes, RowRange range,
                              RowOrder order) {
  check<InternalError>(range.begin >= 0 && range.begin <= range.end, "rows ", range.begin, " to ", range.end);
  check_output("boxes", boxes, 2, range.end);
  check_output("scores", scores, 1, range.end);
  check_output("classes", classes, 1, range.end);
  Detections found;
  found.columns = boxes.dim(1);
  check<InvalidModel>(found.columns == 4 || found.columns == 5, "boxes must have 4 or 5 columns, got ", boxes.shape());
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    const auto box = boxes.values<float>().subspan(static_cast<std::size_t>(row * found.columns),
                                                   static_cast<std::size_t>(found.columns));
    const float score = scores.data<float>()[row], label = classes.data<float>()[row];
    if (!all_finite(box) || !std::isfinite(score) || !std::isfinite(label)) continue;
    found.boxes.insert(found.boxes.end(), box.begin(), box.end());
    found.scores.push_back(score);
    found.classes.push_back(class_of(label, row));
    found.rows.push_back(row);
  }
  sort_by(order, found);
  return found;
}

Detections collect_proposals(const Tensor& rois, const Tensor& scores, std::int64_t image, RowOrder order) {
  check_output("rois", rois, 2, 0);
  check_output("scores", scores, 1, rois.dim(0));
  const std::int64_t columns = rois.dim(1);
  check<InvalidModel>(columns == 5 || columns == 6, "rois must have 5 or 6 columns, got ", rois.shape());
  Detections found;
  found.columns = columns - 1;
  for (std::int64_t row = 0; row < rois.dim(0); ++row) {
    const auto roi =
        rois.values<float>().subspan(static_cast<std::size_t>(row * columns), static_cast<std::size_t>(columns));
    const float score = scores.data<float>()[row];
    if (roi[0] != static_cast<float>(image) || !all_finite(roi) || !std::isfinite(score)) continue;
    found.boxes.insert(found.boxes.end(), roi.begin() + 1, roi.end());
    found.scores.push_back(score);
    found.rows.push_back(row);
  }
  sort_by(order, found);
  return found;
}

Tensor masks_of(const Tensor& masks, const Detections& found) {
  const std::int64_t rows = found.rows.empty() ? 0 : *std::ranges::max_element(found.rows) + 1;
  check_output("masks", masks, 4, rows);
  const std::int64_t classes = masks.dim(1), side = masks.dim(2);
  check<InvalidModel>(classes > 0 && side > 0 && masks.dim(3) == side,
                      "masks must be (n, classes or 1, side, side), got ", masks.shape());
  check<InternalError>(classes == 1 || found.classes.size() == found.scores.size(),
                       "masks of detections without class");
  Tensor own = Tensor::allocate({DType::float32, {found.count(), side, side}, Layout::row_major});
  for (std::int64_t i = 0; i < found.count(); ++i) {
    const std::int64_t label = classes > 1 ? found.classes[i] : 0;
    check<InvalidModel>(label < classes, "a detection is of class ", label, ", but there are masks of ", classes,
                        " classes");
    std::copy_n(masks.data<float>() + (found.rows[i] * classes + label) * side * side, side * side,
                own.data<float>() + i * side * side);
  }
  return own;
}

}  // namespace d2deploy
