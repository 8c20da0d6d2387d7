// Arithmetic on rotated boxes: centre x, y, width, height in pixels, and the angle in degrees, counter-clockwise as
// one sees it (y points down). What is upright only stands in boxes.h.
#pragma once
#include <limits>
#include <numbers>

#include "kernels/boxes.h"
#include "kernels/convex_polygon.h"

namespace d2deploy {

struct RotatedBox {
  float x, y, w, h, angle;
};

SIMT_HOST_DEVICE inline RotatedBox load_rotated_box(const float* p) { return {p[0], p[1], p[2], p[3], p[4]}; }
SIMT_HOST_DEVICE inline void store_rotated_box(const RotatedBox& b, float* p) {
  p[0] = b.x;
  p[1] = b.y;
  p[2] = b.w;
  p[3] = b.h;
  p[4] = b.angle;
}

/// Where angles are brought to after decoding; nowhere if `period` is 0.
struct AngleBounds {
  float low = -90, high = 90, period = 180;  ///< degrees
};

/// The bounds that three arguments of an operator say; `type` is for the message. Throws InvalidModel unless the
/// period is a multiple of 180 degrees, after which a box looks the same.
inline AngleBounds angle_bounds(const char* type, bool on, std::int64_t low, std::int64_t high) {
  if (!on) return {0, 0, 0};
  check<InvalidModel>(high > low && (high - low) % 180 == 0, type, ": angle_bound_lo ", low, " and angle_bound_hi ",
                      high, " must be a positive multiple of 180 degrees apart");
  return {static_cast<float>(low), static_cast<float>(high), static_cast<float>(high - low)};
}

/// The box that `deltas` (dx, dy, dw, dh, da) make of `b`; da is in radians and has no weight. The angle is moved by
/// one period at most, as in Caffe2, so that it may still be out of bounds.
SIMT_HOST_DEVICE inline RotatedBox decode_rotated_box(const RotatedBox& b, const float* deltas,
                                                      const DeltaWeights& weights, const AngleBounds& bounds) {
  constexpr float kPi = 3.14159265358979323846F;
  float angle = b.angle + deltas[4] * 180.0F / kPi;
  if (angle < bounds.low)
    angle += bounds.period;
  else if (angle > bounds.high)
    angle -= bounds.period;
  return {deltas[0] / weights.x * b.w + b.x, deltas[1] / weights.y * b.h + b.y, growth(deltas[2] / weights.w) * b.w,
          growth(deltas[3] / weights.h) * b.h, angle};
}

/// Boxes that are turned by no more than `most_angle` degrees are clipped as if upright; others are left alone.
SIMT_HOST_DEVICE inline RotatedBox clip_rotated_box(const RotatedBox& b, float image_width, float image_height,
                                                    float most_angle, float plus_one) {
  if (!(std::fabs(b.angle) <= most_angle)) return b;
  const float half_w = (b.w - plus_one) / 2, half_h = (b.h - plus_one) / 2;
  const Box c = clip_box({b.x - half_w, b.y - half_h, b.x + half_w, b.y + half_h}, image_width, image_height, plus_one);
  return {(c.x1 + c.x2) / 2, (c.y1 + c.y2) / 2, width(c, plus_one), height(c, plus_one), b.angle};
}

SIMT_HOST_DEVICE inline bool is_finite(const RotatedBox& b) {
  return std::isfinite(b.x) && std::isfinite(b.y) && std::isfinite(b.w) && std::isfinite(b.h) && std::isfinite(b.angle);
}

/// A rotated box, ready to be compared with many.
struct RotatedFrame {
  double x, y, half_w, half_h, cos, sin;
  double radius;  ///< of the circle around it; NaN if the box is not finite
  double area;    ///< w * h: negative or NaN where the box makes no sense
};
SIMT_HOST_DEVICE inline RotatedFrame rotated_frame(const RotatedBox& b) {
  const double theta = static_cast<double>(b.angle) * (std::numbers::pi / 180);
  const double half_w = std::fabs(static_cast<double>(b.w)) / 2, half_h = std::fabs(static_cast<double>(b.h)) / 2;
  const double radius =
      is_finite(b) ? std::sqrt(half_w * half_w + half_h * half_h) : std::numeric_limits<double>::quiet_NaN();
  return {b.x,
          b.y,
          half_w,
          half_h,
          std::cos(theta),
          std::sin(theta),
          radius,
          static_cast<double>(b.w) * static_cast<double>(b.h)};
}

/// Area that both boxes cover, by clipping one with the sides of the other. Negative sizes count as positive ones, the
/// same rectangle. NaN if one is not finite.
SIMT_HOST_DEVICE inline double shared_area(const RotatedFrame& a, const RotatedFrame& b) {
  const double reach = a.radius + b.radius;
  if (std::isnan(reach)) return reach;
  const double dx = a.x - b.x, dy = a.y - b.y;
  if (dx * dx + dy * dy > reach * reach) return 0;
  // The corners of `a` in the frame of `b`: its centre is the origin, its sides are level. With y down, a turn by
  // theta takes (u, v) to (u cos + v sin, v cos - u sin).
  const PlanePoint centre{dx * b.cos - dy * b.sin, dx * b.sin + dy * b.cos};
  const double cos = a.cos * b.cos + a.sin * b.sin, sin = a.sin * b.cos - a.cos * b.sin;
  ConvexPolygon polygon;
  for (const auto& [u, v] : {PlanePoint{-a.half_w, -a.half_h}, PlanePoint{a.half_w, -a.half_h},
                             PlanePoint{a.half_w, a.half_h}, PlanePoint{-a.half_w, a.half_h}})
    polygon.add({centre.x + u * cos + v * sin, centre.y + v * cos - u * sin});
  const ConvexPolygon shared = polygon.cut(&PlanePoint::x, 1, b.half_w)
                                   .cut(&PlanePoint::x, -1, b.half_w)
                                   .cut(&PlanePoint::y, 1, b.half_h)
                                   .cut(&PlanePoint::y, -1, b.half_h);
  // Rounding must not give a box without area a share in another: their IoU is to be 0, or NaN.
  return std::min({shared.area(), std::fabs(a.area), std::fabs(b.area)});
}

/// Intersection over union, rounded once to float32; NaN for two boxes without area.
SIMT_HOST_DEVICE inline float iou(const RotatedFrame& a, const RotatedFrame& b) {
  const double shared = shared_area(a, b);
  return static_cast<float>(shared / (a.area + b.area - shared));
}

}  // namespace d2deploy
