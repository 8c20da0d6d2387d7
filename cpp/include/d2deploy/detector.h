// From images to the inputs of a detection net, and from its raw outputs to pictures.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "d2deploy/tensor.h"

namespace d2deploy {

/// An image in memory: rows of interleaved 8-bit B, G, R.
struct ImageView {
  const std::uint8_t* data = nullptr;
  std::int64_t height = 0, width = 0;
  std::int64_t row_bytes = 0;
};

/// `data` float32 (N, 3, H', W') and `im_info` float32 (N, 3) of height, width, 1. Images of different size share the
/// largest height and width, rounded up to a multiple of `size_divisibility` (if > 1); what is added, right and below,
/// is zero. Throws InvalidArgument where there is no image, or an empty one, or `size_divisibility` is not in [0,
/// 4096].
struct NetInputs {
  Tensor data, im_info;
};
NetInputs to_net_inputs(std::span<const ImageView> images, std::int64_t size_divisibility);

/// Pastes one mask into an image of height x width.
/// Args: `mask` side x side probabilities; `box` x1, y1, x2, y2 in pixels; `threshold` in [0, 1].
/// Returns: height * width bytes, row-major, 1 where the mask, sampled bilinearly at the pixel's centre (zero outside),
///   is at least `threshold`; always 0 more than a pixel beside the box, and where the box has no area or is not
///   finite.
/// Throws InvalidArgument where sizes do not agree or the threshold is not in [0, 1].
/// *Source*: Detectron2, `paste_masks_in_image`, as it answers on a CPU.
std::vector<std::uint8_t> paste_mask(std::span<const float> mask, std::int64_t side, std::span<const float, 4> box,
                                     std::int64_t height, std::int64_t width, float threshold = 0.5F);

}  // namespace d2deploy
