// Masks of detections: pasted into their image, as run-length codes, and as polygons.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace d2deploy {

/// Pastes one mask into an image of height x width.
/// Args: `mask` side x side probabilities; `box` x1, y1, x2, y2 in pixels; `threshold` in [0, 1].
/// Returns: height * width bytes, row-major, 1 where the mask, sampled bilinearly at the pixel's centre (zero outside),
///   is at least `threshold`; always 0 more than a pixel beside the box, and where the box has no area or is not
///   finite.
/// Throws InvalidArgument where sizes do not agree or the threshold is not in [0, 1].
/// *Source*: Detectron2, `paste_masks_in_image`, as it answers on a CPU.
std::vector<std::uint8_t> paste_mask(std::span<const float> mask, std::int64_t side, std::span<const float, 4> box,
                                     std::int64_t height, std::int64_t width, float threshold = 0.5F);

/// COCO's run-length code of a bitmap: of its pixels, column by column, how many are 0, then how many are 1, then 0
/// again and so on. The first number may be 0, no other is.
struct RunLengths {
  std::int64_t height = 0, width = 0;
  std::vector<std::uint32_t> counts;  ///< their sum is height * width

  friend bool operator==(const RunLengths&, const RunLengths&) = default;
};

/// What run_lengths(paste_mask(...), height, width) gives, with memory and time for the outline of the mask alone.
/// Throws InvalidArgument as both.
RunLengths paste_run_lengths(std::span<const float> mask, std::int64_t side, std::span<const float, 4> box,
                             std::int64_t height, std::int64_t width, float threshold = 0.5F);

/// The code of height * width bytes, row-major; what is not 0 counts as 1. Throws InvalidArgument where sizes do not
/// agree, or 2^32 pixels or more.
RunLengths run_lengths(std::span<const std::uint8_t> bitmap, std::int64_t height, std::int64_t width);

// All below throw InvalidArgument where the counts are not those of a bitmap of that height and width.

/// The bitmap, row-major, of 0 and 1.
std::vector<std::uint8_t> to_bitmap(const RunLengths& runs);
/// How many pixels are 1.
std::int64_t area(const RunLengths& runs);
/// x, y, width and height of the smallest box around all pixels that are 1; zeros where there are none.
std::array<std::int64_t, 4> bounding_box(const RunLengths& runs);
/// The counts as COCO's files have them, compressed to characters: the same bytes as from pycocotools.
std::string to_coco_string(const RunLengths& runs);

/// Outlines: x1, y1, x2, y2, ... as COCO has them.
using Polygons = std::vector<std::vector<std::int32_t>>;
/// The outer contour of each part of a mask, parts being joined by sides or corners of pixels.
///
/// Corners of polygons are corners of pixels: the outline of one pixel at (0, 0) is 0 0 1 0 1 1 0 1. All go clockwise
/// (y points down), begin at the top of their leftmost column, and come in the order of those columns. COCO's polygons
/// have no holes, so holes are left out. *Law*: the pixels inside of the polygons are those of the mask and of its
/// holes.
Polygons polygons(const RunLengths& runs);

}  // namespace d2deploy
#pragma GCC visibility pop
