// The rows of a net's outputs that are detections of one picture, or proposals.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "d2deploy/detector.h"
#include "d2deploy/tensor.h"

namespace d2deploy {

struct Detections {
  std::int64_t columns = 4;   ///< of a box: x1 y1 x2 y2, ends exclusive, or 5: centre x y, width, height, degrees
  std::vector<float> boxes;   ///< columns for each detection
  std::vector<float> scores;  ///< of proposals: logits
  std::vector<std::int64_t> classes;  ///< from 0; none for proposals
  std::vector<std::int64_t> rows;     ///< where in the net's outputs each of them stood; none where there are no rows

  std::int64_t count() const { return static_cast<std::int64_t>(scores.size()); }
  std::span<const float> box(std::int64_t i) const { return {boxes.data() + i * columns, box_size()}; }
  std::span<float> box(std::int64_t i) { return {boxes.data() + i * columns, box_size()}; }

 private:
  std::size_t box_size() const { return static_cast<std::size_t>(columns); }
};

/// Rows [begin, end) of a net's outputs.
struct RowRange {
  std::int64_t begin = 0, end = 0;
};

/// Where the rows of each of the images begin, and the number of all rows behind them. Args: `splits` (images) float32,
/// the rows of each; for one image it may be missing. Throws InvalidModel where they do not agree.
std::vector<std::int64_t> first_rows(const Tensor* splits, std::int64_t images, std::int64_t rows);

/// The detections among those rows of `boxes` (n, 4 or 5), `scores` (n) and `classes` (n), all float32. Rows with a
/// value that is not finite are left out. Throws InvalidModel where shapes do not agree, or a class is none.
Detections collect_detections(const Tensor& boxes, const Tensor& scores, const Tensor& classes, RowRange range,
                              RowOrder order);

/// The proposals for one of the images: `rois` float32 (n, 5 or 6), the index of the image and a box, and `scores` (n).
/// As collect_detections.
Detections collect_proposals(const Tensor& rois, const Tensor& scores, std::int64_t image, RowOrder order);

/// Leaves the detections `kept`, in that order.
void keep(Detections& found, std::span<const std::int64_t> kept);

/// The mask of each detection, (count, S, S), from those of all rows and classes, (n, classes or 1, S, S) float32.
/// Throws InvalidModel where the shape is another, or there is no mask for a class.
Tensor masks_of(const Tensor& masks, const Detections& found);

/// Throws InvalidModel unless the tensor is float32, row-major and of that rank, where `rows` says how many rows it
/// must have at least. `name` is for the message.
void check_output(const char* name, const Tensor& output, std::size_t rank, std::int64_t rows);

}  // namespace d2deploy
