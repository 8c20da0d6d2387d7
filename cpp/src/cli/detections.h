// The detections among a net's outputs, checked, and by image.
#pragma once
#include <opencv2/core.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "d2deploy/model.h"

namespace d2deploy::cli {

/// Rows of bbox_nms, score_nms, class_nms and, where the net has them, mask_fcn_probs. Views of a run's outputs.
struct Detections {
  Tensor boxes;                      ///< (n, 4) x0, y0, x1, y1; (n, 5) center x, y, width, height, degrees
  Tensor scores;                     ///< (n)
  std::vector<std::int64_t> labels;  ///< classes from 0
  std::optional<Tensor> masks;       ///< (n, classes or 1, height, width) probabilities
  std::vector<std::string> names;    ///< of the classes, printable; empty where the file does not tell them
  std::vector<std::int64_t> first;   ///< the rows of image i are first[i] to first[i + 1] - 1

  std::span<const float> box(std::int64_t row) const;
  float score(std::int64_t row) const { return scores.values<float>()[row]; }
  /// Of the row's class; empty where it is not known.
  std::string name(std::int64_t row) const;
  /// The mask of the row's own class; it must not be written to. Throws InvalidModel where there is none for it.
  cv::Mat mask(std::int64_t row) const;
};

/// Nothing where the net is not a detector in Detectron2's form. Throws InvalidModel where the outputs do not agree.
std::optional<Detections> find_detections(const Model& model, const Tensors& outputs, std::size_t images);

}  // namespace d2deploy::cli
