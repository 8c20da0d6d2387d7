// From the small mask of a box to the pixels of its image.
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/memory.h"
#include "d2deploy/detector.h"

namespace d2deploy {

namespace {

// The pixels [begin, end) of one axis whose centres are sampled, and where in the mask each of them falls.
//   u = (pixel + 0.5 - low) / (high - low) * side - 0.5
// A sample lies between the cells floor(u) and floor(u) + 1; `cell` counts from the zero cell before the mask.
struct Axis {
  std::int64_t begin = 0, end = 0;
  std::vector<std::int64_t> cell;
  std::vector<double> fraction;
};

Axis sample_axis(double low, double high, std::int64_t side, std::int64_t size) {
  const auto limit = static_cast<double>(size);
  Axis axis;
  // Like Detectron2 on a CPU: nothing farther than one pixel from the box is looked at.
  axis.begin = static_cast<std::int64_t>(std::clamp(std::floor(low) - 1, 0.0, limit));
  axis.end = static_cast<std::int64_t>(std::clamp(std::ceil(high) + 1, 0.0, limit));
  for (std::int64_t p = axis.begin; p < axis.end; ++p) {
    const double u = (static_cast<double>(p) + 0.5 - low) / (high - low) * static_cast<double>(side) - 0.5;
    const bool near = u > -1 && u < static_cast<double>(side);
    const double whole = near ? std::floor(u) : -1;
    axis.cell.push_back(static_cast<std::int64_t>(whole) + 1);
    axis.fraction.push_back(near ? u - whole : 0);
  }
  return axis;
}

bool has_area(std::span<const float, 4> box) {
  return std::ranges::all_of(box, [](float v) { return std::isfinite(v); }) && box[2] > box[0] && box[3] > box[1];
}

std::vector<std::uint8_t> paste(std::span<const float> mask, std::int64_t side, std::span<const float, 4> box,
                                std::int64_t height, std::int64_t width, float threshold) {
  check_available(static_cast<std::size_t>(height * width));
  std::vector<std::uint8_t> pasted(height * width, 0);
  if (pasted.empty() || !has_area(box)) return pasted;

  const Axis xs = sample_axis(box[0], box[2], side, width);
  const Axis ys = sample_axis(box[1], box[3], side, height);
  // The mask between two of its rows, with a zero cell at both ends.
  std::vector<double> between(side + 2, 0.0);
  for (std::int64_t y = ys.begin; y < ys.end; ++y) {
    const std::int64_t j = y - ys.begin;
    const std::int64_t above = ys.cell[j] - 1, below = ys.cell[j];
    for (std::int64_t x = 0; x < side; ++x) {
      const double a = above >= 0 ? mask[above * side + x] : 0;
      const double b = below < side ? mask[below * side + x] : 0;
      between[x + 1] = a * (1 - ys.fraction[j]) + b * ys.fraction[j];
    }
    std::uint8_t* row = pasted.data() + y * width;
    for (std::int64_t x = xs.begin; x < xs.end; ++x) {
      const std::int64_t i = x - xs.begin;
      const double* left = between.data() + xs.cell[i];
      row[x] = left[0] * (1 - xs.fraction[i]) + left[1] * xs.fraction[i] >= static_cast<double>(threshold);
    }
  }
  return pasted;
}

}  // namespace

std::vector<std::uint8_t> paste_mask(std::span<const float> mask, std::int64_t side, std::span<const float, 4> box,
                                     std::int64_t height, std::int64_t width, float threshold) {
  check(side > 0 && side < (std::int64_t{1} << 20) && static_cast<std::int64_t>(mask.size()) == side * side,
        "paste_mask: a mask of side ", side, " needs side * side values, got ", mask.size());
  check(height >= 0 && width >= 0, "paste_mask: image size must not be negative, got ", height, " x ", width);
  check(threshold >= 0 && threshold <= 1, "paste_mask: threshold must be from 0 to 1, got ", threshold);
  constexpr std::int64_t kMostSide = 1 << 24;  // the largest of pictures have a hundredth of it
  check(height <= kMostSide && width <= kMostSide, "paste_mask: the image is ", height, " x ", width,
        " pixels large, wanted at most ", kMostSide, " on a side");
  return guarded([&] { return paste(mask, side, box, height, width, threshold); });
}

}  // namespace d2deploy
