// What a detector finds in an image.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "d2deploy/image.h"
#include "d2deploy/mask.h"
#include "d2deploy/tensor.h"

#pragma GCC visibility push(default)
namespace d2deploy {

struct Keypoint {
  float x = 0, y = 0;     ///< in pixels
  float logit = 0;        ///< the height of the peak
  float probability = 0;  ///< exp(logit) over the sum of exp of the whole heat map, as it was before it is resized
};

/// A part of a panoptic map.
struct Segment {
  std::int32_t id = 0;  ///< in the map, from 1
  bool is_thing = false;
  float score = 0;                ///< of things
  std::int64_t category_id = 0;   ///< things: the class; stuff: the class of the semantic map
  std::int64_t instance_id = -1;  ///< of things: which detection
  std::int64_t area = 0;          ///< pixels of the map
};

/// Detections, or the proposals of a model that makes no more, in the pixels of the image that was given. Fields of
/// what the model does not have are empty.
struct Prediction {
  Size size;  ///< of the image

  std::int64_t box_columns = 4;       ///< x1 y1 x2 y2, ends exclusive, or 5: centre x y, width, height, degrees
  std::vector<float> boxes;           ///< box_columns for each detection
  std::vector<float> scores;          ///< from 0 to 1; logits of proposals
  std::vector<std::int64_t> classes;  ///< from 0; none for proposals
  Tensor masks;                       ///< (count, S, S) float32 probabilities inside of the boxes

  std::int64_t keypoints_per_detection = 0;
  std::vector<Keypoint> keypoints;  ///< all of the first detection first
  Tensor keypoint_maps;             ///< (count, K, S, S) float32 logits, where they were asked for

  Tensor sem_seg;                          ///< (classes, height, width) float32 logits, where they were asked for
  std::vector<std::int32_t> panoptic_map;  ///< height x width ids of segments, 0 where there is none
  std::vector<Segment> segments;
  std::vector<std::int32_t> class_map;  ///< height x width classes, of a model that tells the class of pixels alone

  std::int64_t count() const { return static_cast<std::int64_t>(scores.size()); }
  std::span<const float> box(std::int64_t i) const;
  std::span<const Keypoint> keypoints_of(std::int64_t i) const;

  // The mask of a detection at the size of the image; pixels of at least `threshold` belong to it. They throw
  // InvalidArgument where there is no such detection, or the model gives no masks.

  std::vector<std::uint8_t> mask(std::int64_t i, float threshold = 0.5F) const;  ///< as paste_mask
  RunLengths mask_run_lengths(std::int64_t i, float threshold = 0.5F) const;     ///< as paste_run_lengths
  Polygons mask_polygons(std::int64_t i, float threshold = 0.5F) const;          ///< as polygons

 private:
  struct SmallMask;
  SmallMask small_mask(std::int64_t i) const;
};

}  // namespace d2deploy
#pragma GCC visibility pop
