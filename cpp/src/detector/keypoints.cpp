#include "detector/keypoints.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/threads.h"
#include "detector/heat_map.h"
#include "kernels/exp.h"

namespace d2deploy {

namespace {

std::int64_t rows_wanted(const Detections& found) {
  return found.rows.empty() ? 0 : *std::ranges::max_element(found.rows) + 1;
}

// One side of a box, and the pixels that it is resized to.
struct Side {
  float start, length;
  std::int64_t pixels;

  Side(float low, float high, std::int64_t most) : start(low), length(std::max(high - low, 1.0F)), pixels(most) {
    if (length < static_cast<float>(most)) pixels = static_cast<std::int64_t>(std::ceil(length));
  }
  float place(std::int64_t pixel) const {
    return (static_cast<float>(pixel) + 0.5F) * (length / static_cast<float>(pixels)) + start;
  }
};

// exp(logit) / sum of exp(value)
float probability(const float* map, std::int64_t count, float logit) {
  const float most = highest_of(map, count);
  constexpr std::int64_t kLanes = 16;  // sums of their own: these loops become vector code
  float sums[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += exp_of_minus_abs(map[i + lane] - most);
  for (; i < count; ++i) sums[0] += exp_of_minus_abs(map[i] - most);
  double sum = 0;
  for (const float part : sums) sum += static_cast<double>(part);
  return static_cast<float>(std::exp(static_cast<double>(logit) - static_cast<double>(most)) / sum);
}

}  // namespace

std::vector<Keypoint> keypoints_of_maps(const Tensor& maps, const Detections& found, const Size& picture) {
  check_output("heat maps", maps, 4, rows_wanted(found));
  const std::int64_t kinds = maps.dim(1), height = maps.dim(2), width = maps.dim(3);
  check<InvalidModel>(height > 0 && width > 0, "heat maps must not be empty, got ", maps.shape());
  check<InvalidModel>(found.columns == 4, "keypoints need upright boxes, got rotated ones");
  check<InternalError>(picture.height > 0 && picture.width > 0, "the picture is empty");
  std::vector<Keypoint> keypoints(found.count() * kinds);
  parallel_for(found.count(), 1, [&](std::int64_t begin, std::int64_t end) {
    PeakFinder finder(height, width);
    for (std::int64_t i = begin; i < end; ++i) {
      const auto box = found.box(i);
      const Side x(box[0], box[2], picture.width), y(box[1], box[3], picture.height);
      const CubicAxis rows(height, y.pixels), columns(width, x.pixels);
      for (std::int64_t k = 0; k < kinds; ++k) {
        const float* map = maps.data<float>() + (found.rows[i] * kinds + k) * height * width;
        const Peak peak = finder.find(map, rows, columns);
        keypoints[i * kinds + k] = {x.place(peak.column), y.place(peak.row), peak.value,
                                    probability(map, height * width, peak.value)};
      }
    }
  });
  return keypoints;
}

std::vector<Keypoint> keypoints_of_rows(const Tensor& keypoints, const Detections& found) {
  check_output("keypoints", keypoints, 3, rows_wanted(found));
  check<InvalidModel>(keypoints.dim(1) == 4, "keypoints must be (n, 4, kinds), got ", keypoints.shape());
  const std::int64_t kinds = keypoints.dim(2);
  std::vector<Keypoint> out;
  out.reserve(static_cast<std::size_t>(found.count() * kinds));
  for (const std::int64_t row : found.rows) {
    const float* p = keypoints.data<float>() + row * 4 * kinds;
    for (std::int64_t k = 0; k < kinds; ++k) out.push_back({p[k], p[kinds + k], p[2 * kinds + k], p[3 * kinds + k]});
  }
  return out;
}

std::vector<Keypoint> scaled_keypoints(std::span<const Keypoint> keypoints, std::int64_t per_detection,
                                       std::span<const std::int64_t> kept, const Size& size, const Size& wanted) {
  const auto scale_x = static_cast<float>(static_cast<double>(wanted.width) / static_cast<double>(size.width));
  const auto scale_y = static_cast<float>(static_cast<double>(wanted.height) / static_cast<double>(size.height));
  std::vector<Keypoint> out;
  out.reserve(kept.size() * static_cast<std::size_t>(per_detection));
  for (const std::int64_t i : kept)
    for (const Keypoint& k :
         keypoints.subspan(static_cast<std::size_t>(i * per_detection), static_cast<std::size_t>(per_detection)))
      out.push_back({k.x * scale_x, k.y * scale_y, k.logit, k.probability});
  return out;
}

}  // namespace d2deploy
