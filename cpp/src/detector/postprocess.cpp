#include "detector/postprocess.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "kernels/rotated_boxes.h"

namespace d2deploy {

namespace {

constexpr float kPi = 3.14159265358979323846F;
constexpr float kMostClippedAngle = 1;  // degrees; rotated boxes beyond cannot be clipped and stay rectangles

// As Detectron2 computes it; std::hypot rounds in another way, and wheels would need glibc 2.35 for it.
float length(float x, float y) { return std::sqrt(x * x + y * y); }

RotatedBox scaled(const RotatedBox& b, float scale_x, float scale_y) {
  const float theta = b.angle * (kPi / 180);
  const float c = std::cos(theta), s = std::sin(theta);
  return {b.x * scale_x, b.y * scale_y, b.w * length(scale_x * c, scale_y * s), b.h * length(scale_x * s, scale_y * c),
          std::atan2(scale_x * s, scale_y * c) * (180 / kPi)};
}

// Into [-180, 180).
float normalized(float angle) {
  const float rest = std::fmod(angle + 180, 360.0F);
  return (rest < 0 ? rest + 360 : rest) - 180;
}

RotatedBox clipped(RotatedBox b, float image_width, float image_height) {
  b.angle = normalized(b.angle);
  const RotatedBox c = clip_rotated_box(b, image_width, image_height, kMostClippedAngle, 0);
  return {c.x, c.y, std::min(b.w, c.w), std::min(b.h, c.h), b.angle};  // rounding must not make a box larger
}

}  // namespace

std::vector<std::int64_t> scale_and_clip(Detections& found, const Size& size, const Size& wanted) {
  check<InternalError>(size.height > 0 && size.width > 0 && wanted.height > 0 && wanted.width > 0, "a size is empty");
  const auto width = static_cast<float>(wanted.width), height = static_cast<float>(wanted.height);
  const auto scale_x = static_cast<float>(static_cast<double>(wanted.width) / static_cast<double>(size.width));
  const auto scale_y = static_cast<float>(static_cast<double>(wanted.height) / static_cast<double>(size.height));
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < found.count(); ++i) {
    float* p = found.box(i).data();
    bool has_area = false;
    if (found.columns == 4) {
      const Box b{p[0] * scale_x, p[1] * scale_y, p[2] * scale_x, p[3] * scale_y};
      const Box c = clip_box(b, width, height, 0);
      store_box(c, p);
      has_area = c.x2 > c.x1 && c.y2 > c.y1;
    } else {
      const RotatedBox b = clipped(scaled(load_rotated_box(p), scale_x, scale_y), width, height);
      store_rotated_box(b, p);
      has_area = b.w > 0 && b.h > 0 && is_finite(b);
    }
    if (has_area) kept.push_back(i);
  }
  keep(found, kept);
  return kept;
}

}  // namespace d2deploy
