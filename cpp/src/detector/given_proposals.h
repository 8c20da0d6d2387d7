// Proposals that a model takes from outside, brought to its input.
#pragma once
#include <span>

#include "detector/detections.h"

namespace d2deploy {

/// Boxes x1 y1 x2 y2 of an image of size `from`, in the same image of size `to`, cut to it; those without area, or with
/// a coordinate that is not a number, are left out. Throws InvalidArgument where they are not four numbers each.
/// *Source*: Detectron2, `transform_proposals`.
std::vector<float> resized_proposals(std::span<const float> boxes, Size from, Size to);

/// Rows (R, 5) of an image's index, which is 0, and a box in the net's input, x1 y1 x2 y2. R is rounded up, so that a
/// few plans serve all pictures; the boxes of rows that were added are not a number, and give no detection. Throws as
/// resized_proposals.
Tensor rois_of(std::span<const float> boxes);

}  // namespace d2deploy
