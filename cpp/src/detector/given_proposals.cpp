#include "detector/given_proposals.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"

namespace d2deploy {

namespace {

// As many rows as Detectron2 takes by default, 1000, then need four plans at most.
constexpr std::int64_t kRowsAtATime = 256;
constexpr std::size_t kMostProposals = 1 << 20;

void check_boxes(std::span<const float> boxes) {
  check(boxes.size() % 4 == 0, "proposals are ", boxes.size(), " numbers, wanted x1 y1 x2 y2 of each");
  check(boxes.size() / 4 <= kMostProposals, "proposals are ", boxes.size() / 4, ", wanted at most ", kMostProposals);
}

}  // namespace

std::vector<float> resized_proposals(std::span<const float> boxes, Size from, Size to) {
  check_boxes(boxes);
  const auto factor = [](std::int64_t now, std::int64_t before) {
    return static_cast<float>(static_cast<double>(now) / static_cast<double>(before));
  };
  const float x = factor(to.width, from.width), y = factor(to.height, from.height);
  const float right = static_cast<float>(to.width), bottom = static_cast<float>(to.height);
  std::vector<float> found;
  found.reserve(boxes.size());
  for (std::size_t i = 0; i < boxes.size(); i += 4) {
    const float x1 = std::clamp(boxes[i] * x, 0.0F, right), y1 = std::clamp(boxes[i + 1] * y, 0.0F, bottom);
    const float x2 = std::clamp(boxes[i + 2] * x, 0.0F, right), y2 = std::clamp(boxes[i + 3] * y, 0.0F, bottom);
    if (x2 - x1 > 0 && y2 - y1 > 0) found.insert(found.end(), {x1, y1, x2, y2});  // false of NaN
  }
  return found;
}

Tensor rois_of(std::span<const float> boxes) {
  check_boxes(boxes);
  const auto given = static_cast<std::int64_t>(boxes.size() / 4);
  const std::int64_t rows = (std::max<std::int64_t>(given, 1) + kRowsAtATime - 1) / kRowsAtATime * kRowsAtATime;
  Tensor rois = Tensor::allocate({DType::float32, {rows, 5}});
  float* out = rois.data<float>();
  std::fill_n(out, rows * 5, std::numeric_limits<float>::quiet_NaN());
  for (std::int64_t row = 0; row < rows; ++row) {
    out[row * 5] = 0;
    if (row < given) std::copy_n(boxes.data() + row * 4, 4, out + row * 5 + 1);
  }
  return rois;
}

}  // namespace d2deploy
