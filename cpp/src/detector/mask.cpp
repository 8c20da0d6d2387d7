// From the small mask of a box to the pixels of its image.
#include "d2deploy/mask.h"
#include "core/check.h"
#include "core/memory.h"
#include "detector/mask_sampler.h"

namespace d2deploy {

std::vector<std::uint8_t> paste_mask(std::span<const float> mask, std::int64_t side, std::span<const float, 4> box,
                                     std::int64_t height, std::int64_t width, float threshold) {
  return guarded([&] {
    const MaskSampler sampler("paste_mask", mask, side, box, height, width, threshold);
    check_available(static_cast<std::size_t>(height * width));
    std::vector<std::uint8_t> pasted(height * width, 0);
    if (!sampler.empty()) sampler.paste(pasted.data() + sampler.ys().begin * width + sampler.xs().begin, width);
    return pasted;
  });
}

}  // namespace d2deploy
