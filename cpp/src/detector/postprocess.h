// Detections in the net's input, brought to the picture that they are wanted for.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "detector/detections.h"

namespace d2deploy {

/// Boxes scaled from `size` to `wanted`, and clipped to it; those without area are dropped.
///
/// A rotated box becomes a parallelogram where the factors differ; it is replaced by the rotated box whose half axes
/// have the lengths of the scaled ones and whose height has the direction of the scaled height. Its angle is brought to
/// [-180, 180), and only where it is at most one degree the box is clipped, as if upright.
/// Returns: which detections are left, to pick what belongs to them.
/// *Source*: Detectron2, `detector_postprocess`, `RotatedBoxes.scale`, `RotatedBoxes.clip`.
std::vector<std::int64_t> scale_and_clip(Detections& found, const Size& size, const Size& wanted);

}  // namespace d2deploy
