#include "kernels/rotated_boxes.h"

#include <array>
#include <limits>
#include <numbers>

namespace d2deploy {

namespace {

struct Point {
  double x, y;
};

// A convex polygon that half-planes are cut from.
class Polygon {
 public:
  void add(const Point& p) { points_[count_++] = p; }

  /// Leaves what is on the side coordinate * sign <= bound.
  Polygon cut(double Point::*coordinate, double sign, double bound) const {
    Polygon out;
    for (std::size_t i = 0; i < count_; ++i) {
      const Point &a = points_[i], &b = points_[i + 1 == count_ ? 0 : i + 1];
      const double over_a = a.*coordinate * sign - bound, over_b = b.*coordinate * sign - bound;
      if (over_a <= 0) out.add(a);
      if ((over_a <= 0) == (over_b <= 0)) continue;
      const double t = over_a / (over_a - over_b);
      out.add({a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)});
    }
    return out;
  }

  /// By the shoelace formula, from the first corner, so that a small polygon far out loses no digits.
  double area() const {
    double twice = 0;
    for (std::size_t i = 2; i < count_; ++i) {
      const Point &o = points_[0], &a = points_[i - 1], &b = points_[i];
      twice += (a.x - o.x) * (b.y - o.y) - (b.x - o.x) * (a.y - o.y);
    }
    return std::fabs(twice) / 2;
  }

 private:
  // A cut adds one corner to a convex polygon. Rounding may bend it: then at most half as many again, 4 6 9 13 19.
  std::array<Point, 20> points_;
  std::size_t count_ = 0;
};

}  // namespace

RotatedFrame rotated_frame(const RotatedBox& b) {
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

double shared_area(const RotatedFrame& a, const RotatedFrame& b) {
  const double reach = a.radius + b.radius;
  if (std::isnan(reach)) return reach;
  const double dx = a.x - b.x, dy = a.y - b.y;
  if (dx * dx + dy * dy > reach * reach) return 0;
  // The corners of `a` in the frame of `b`: its centre is the origin, its sides are level. With y down, a turn by
  // theta takes (u, v) to (u cos + v sin, v cos - u sin).
  const Point centre{dx * b.cos - dy * b.sin, dx * b.sin + dy * b.cos};
  const double cos = a.cos * b.cos + a.sin * b.sin, sin = a.sin * b.cos - a.cos * b.sin;
  Polygon polygon;
  for (const auto& [u, v] :
       {Point{-a.half_w, -a.half_h}, Point{a.half_w, -a.half_h}, Point{a.half_w, a.half_h}, Point{-a.half_w, a.half_h}})
    polygon.add({centre.x + u * cos + v * sin, centre.y + v * cos - u * sin});
  const Polygon shared = polygon.cut(&Point::x, 1, b.half_w)
                             .cut(&Point::x, -1, b.half_w)
                             .cut(&Point::y, 1, b.half_h)
                             .cut(&Point::y, -1, b.half_h);
  // Rounding must not give a box without area a share in another: their IoU is to be 0, or NaN.
  return std::min({shared.area(), std::fabs(a.area), std::fabs(b.area)});
}

float iou(const RotatedFrame& a, const RotatedFrame& b) {
  const double shared = shared_area(a, b);
  return static_cast<float>(shared / (a.area + b.area - shared));
}

}  // namespace d2deploy
