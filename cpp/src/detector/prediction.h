// From the raw outputs of a net to a prediction.
#pragma once
#include <memory>

#include "detector/panoptic.h"
#include "detector/retinanet.h"

namespace d2deploy {

/// One of the images of a run.
struct ImageOf {
  std::int64_t index = 0, images = 1;
};

/// What the outputs of a model mean, by its meta-architecture.
class OutputRule {
 public:
  /// Throws Unsupported where the outputs are not those of a detector; InvalidModel where arguments are missing or
  /// wrong.
  explicit OutputRule(const Model& model);

  /// Whether outputs of several images tell which rows are of which.
  bool tells_images_apart() const { return tells_images_apart_; }

  /// Args: `outputs` of a run; `image` of it that the prediction is for; `size` that it had in the net, without
  /// padding;
  ///   `wanted` size that the prediction is for.
  /// Throws InvalidModel where the outputs do not agree.
  Prediction predict(const Tensors& outputs, ImageOf image, Size size, Size wanted,
                     const DetectorOptions& options) const;

 private:
  enum class Kind { proposals, detections, retinanet, panoptic, semantic };  // retinanet: FCOS, too

  Detections detect(const Tensors& outputs, ImageOf image, RowOrder order) const;
  void read_retinanet(const ModelInfo& info);
  void read_anchors(const ModelInfo& info);
  void read_anchor_generator(const std::string& bytes);
  void add_level(float stride, std::span<const float> cells);

  Kind kind_;
  std::vector<RetinaNetLevel> levels_;  // without tensors
  RetinaNetRule retinanet_;
  PanopticRule panoptic_;
  bool tells_images_apart_;
  bool combine_ = true;  // things and stuff to one map
};

}  // namespace d2deploy
