// Maps of semantic logits at the size of the picture.
#pragma once
#include <cstdint>
#include <vector>

#include "detector/detections.h"

namespace d2deploy {

/// The logits (N, C, H, W) float32 of one of the images, cropped to `size` (the net's input without padding) and
/// resized bilinearly to `wanted`: (C, height, width). Throws InvalidModel where the shape is another or the map is
/// smaller. *Source*: Detectron2, `sem_seg_postprocess`; PyTorch's interpolate with align_corners false.
Tensor resize_logits(const Tensor& logits, std::int64_t image, const Size& size, const Size& wanted);

/// For each pixel of resize_logits the class with the highest value, the first of equal ones; what is not a number is
/// never higher. `resized`, if given, becomes what resize_logits gives; without it those logits are not kept.
std::vector<std::int32_t> classes_of_pixels(const Tensor& logits, std::int64_t image, const Size& size,
                                            const Size& wanted, Tensor* resized = nullptr);

}  // namespace d2deploy
