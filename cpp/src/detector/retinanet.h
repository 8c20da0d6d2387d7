// From the raw outputs of a RetinaNet, or of an FCOS, to detections.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "detector/detections.h"

namespace d2deploy {

/// One level of the pyramid.
struct RetinaNetLevel {
  Tensor logits;                                   ///< (N, A C, H, W) float32: the classes of each anchor
  Tensor deltas;                                   ///< (N, A 4, H, W) float32
  float stride = 1;                                ///< pixels from one position to the next
  std::vector<std::array<float, 4>> cell_anchors;  ///< A boxes x1 y1 x2 y2 around (0, 0)
  Tensor centerness = {};                          ///< (N, A, H, W) float32, logits; of FCOS alone
};

struct RetinaNetRule {
  float score_threshold = 0.05F;             ///< scores must be above
  std::int64_t topk_candidates = 1000;       ///< per level
  float nms_threshold = 0.5F;                ///< of two boxes of a class with a larger IoU the better one stays
  std::int64_t max_detections = 100;         ///< per image
  std::array<float, 4> weights{1, 1, 1, 1};  ///< divisors of the deltas; not of FCOS
  float anchor_offset = 0;                   ///< of the position in the upper left corner, in strides
  /// Scores are sqrt(sigmoid(class) sigmoid(centerness)), deltas the distances of the left, upper, right and lower side
  /// from the anchor's centre, in its sizes, at least 0.
  bool fcos = false;
};

/// The detections in one of the images, not clipped, by falling score; of equal ones those of the earlier level come
/// first, then those of the upper row, the left column, the earlier anchor, the lower class. Boxes that are not finite
/// are left out. Throws InvalidModel where shapes do not agree.
/// *Source*: Detectron2, `RetinaNet.inference_single_image`, `FCOS.forward_inference`.
Detections decode_retinanet(std::span<const RetinaNetLevel> levels, std::int64_t image, const RetinaNetRule& rule);

}  // namespace d2deploy
