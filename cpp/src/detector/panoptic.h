// Things and stuff, merged to one segment for each pixel.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "detector/detections.h"

namespace d2deploy {

struct PanopticRule {
  double overlap_threshold = 0.5;  ///< a thing is left out where more than this share of it is taken
  std::int64_t stuff_area = 4096;  ///< stuff of fewer pixels is left out
  double score_threshold = 0.5;    ///< things of lower scores are left out
};

struct Panoptic {
  std::vector<std::int32_t> map;  ///< height x width ids, 0 where nothing is
  std::vector<Segment> segments;
};

/// First the things, by falling score, then the stuff where nothing is yet, by rising class.
/// Args: `found` detections in the wanted picture; `masks` (count, S, S) float32 probabilities, pasted into their boxes
///   one after the other (and no bitmap of the picture is kept); none for no detections; `classes` height * width
///   classes of pixels, 0 standing for all things.
/// Throws InvalidModel where shapes do not agree.
/// *Source*: Detectron2, `combine_semantic_and_instance_outputs`; Kirillov et al., Panoptic Segmentation, section 7.
Panoptic combine_panoptic(const Detections& found, const Tensor& masks, std::span<const std::int32_t> classes,
                          const Size& wanted, const PanopticRule& rule);

}  // namespace d2deploy
