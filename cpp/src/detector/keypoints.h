// Keypoints of detections, from the outputs of a keypoint head.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "detector/detections.h"

namespace d2deploy {

/// The keypoints of each detection, all of the first one first, from heat maps (n, K, S, T) float32. Each map is
/// resized bicubically to its box, and the first of the highest pixels is the keypoint.
///
/// A box has as many pixels, in each direction, as its side rounded up, but no more than `picture` has, whose part it
/// should be: work is bounded by it, whatever the boxes are, and memory by its sides. Only where a bound of the
/// interpolation allows for a peak are pixels computed. A value that is not a number counts as the highest, as in
/// Detectron2. Throws InvalidModel where shapes do not agree.
/// *Source*: Detectron2, `heatmaps_to_keypoints`.
std::vector<Keypoint> keypoints_of_maps(const Tensor& maps, const Detections& found, const Size& picture);

/// The same from `keypoints` (n, 4, K) float32, rows of x, y, logit and probability, that the net has computed.
std::vector<Keypoint> keypoints_of_rows(const Tensor& keypoints, const Detections& found);

/// Keypoints of those detections that are `kept`, `per_detection` each, scaled from `size` to `wanted`; not clipped.
std::vector<Keypoint> scaled_keypoints(std::span<const Keypoint> keypoints, std::int64_t per_detection,
                                       std::span<const std::int64_t> kept, const Size& size, const Size& wanted);

}  // namespace d2deploy
