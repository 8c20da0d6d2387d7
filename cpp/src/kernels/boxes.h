// Arithmetic on upright boxes: corners x1, y1, x2, y2 in pixels. `plus_one` says that the end is inclusive
// (legacy_plus_one: a box from 3 to 3 is one pixel wide). All in float32, in the order that Caffe2 computes it.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/check.h"
#include "kernels/simt/host_device.h"

namespace d2deploy {

struct Box {
  float x1, y1, x2, y2;
};

SIMT_HOST_DEVICE inline Box load_box(const float* p) { return {p[0], p[1], p[2], p[3]}; }
SIMT_HOST_DEVICE inline void store_box(const Box& b, float* p) {
  p[0] = b.x1;
  p[1] = b.y1;
  p[2] = b.x2;
  p[3] = b.y2;
}

SIMT_HOST_DEVICE inline bool is_finite(const Box& b) {
  return std::isfinite(b.x1) && std::isfinite(b.y1) && std::isfinite(b.x2) && std::isfinite(b.y2);
}
SIMT_HOST_DEVICE inline float width(const Box& b, float plus_one) { return b.x2 - b.x1 + plus_one; }
SIMT_HOST_DEVICE inline float height(const Box& b, float plus_one) { return b.y2 - b.y1 + plus_one; }
SIMT_HOST_DEVICE inline float area(const Box& b, float plus_one) { return width(b, plus_one) * height(b, plus_one); }

/// Divisors of the four deltas.
struct DeltaWeights {
  float x = 1, y = 1, w = 1, h = 1;
};

/// What dw or dh, divided by its weight, multiplies a side with. Limited from above only: at most 1000 / 16.
SIMT_HOST_DEVICE inline float growth(float delta) {
  constexpr float kMostLogGrowth = 4.135166556742356F;  // log(1000 / 16)
  return std::exp(std::min(delta, kMostLogGrowth));
}

/// The box that `deltas` (dx, dy, dw, dh) make of `b`.
SIMT_HOST_DEVICE inline Box decode_box(const Box& b, const float* deltas, const DeltaWeights& weights, float plus_one) {
  const float w = width(b, plus_one), h = height(b, plus_one);
  const float x = deltas[0] / weights.x * w + (b.x1 + 0.5F * w);
  const float y = deltas[1] / weights.y * h + (b.y1 + 0.5F * h);
  const float half_w = 0.5F * (growth(deltas[2] / weights.w) * w);
  const float half_h = 0.5F * (growth(deltas[3] / weights.h) * h);
  return {x - half_w, y - half_h, x + half_w - plus_one, y + half_h - plus_one};
}

/// Corners moved into [0, width - plus_one] x [0, height - plus_one]. NaN stays NaN.
SIMT_HOST_DEVICE inline Box clip_box(const Box& b, float image_width, float image_height, float plus_one) {
  const auto clip = [](float v, float most) { return std::max(std::min(v, most), 0.0F); };
  const float most_x = image_width - plus_one, most_y = image_height - plus_one;
  return {clip(b.x1, most_x), clip(b.y1, most_y), clip(b.x2, most_x), clip(b.y2, most_y)};
}

/// Intersection over union; NaN for two boxes without area.
SIMT_HOST_DEVICE inline float iou(const Box& a, float area_a, const Box& b, float area_b, float plus_one) {
  const float w = std::max(std::min(a.x2, b.x2) - std::max(a.x1, b.x1) + plus_one, 0.0F);
  const float h = std::max(std::min(a.y2, b.y2) - std::max(a.y1, b.y1) + plus_one, 0.0F);
  const float shared = w * h;
  return shared / (area_a + area_b - shared);
}

/// Whether the whole part of a stored image index is one of `images`.
SIMT_HOST_DEVICE inline bool is_image_index(float stored, std::int64_t images) {
  return images > 0 && stored > -1.0F && stored < static_cast<float>(images);
}

/// That whole part, checked to be in [0, images). `op` and `row` are for the message.
inline std::int64_t image_index(const char* op, std::int64_t row, float stored, std::int64_t images) {
  check(is_image_index(stored, images), op, ": row ", row, " of rois has image index ", stored, ", but there ",
        images == 1 ? "is " : "are ", images, images == 1 ? " image" : " images");
  return static_cast<std::int64_t>(stored);
}

}  // namespace d2deploy
