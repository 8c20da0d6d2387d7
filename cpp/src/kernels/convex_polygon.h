// A convex polygon in the plane, for the area that two rectangles share.
#pragma once
#include <cmath>
#include <cstddef>

#include "kernels/simt/host_device.h"

namespace d2deploy {

struct PlanePoint {
  double x, y;
};

/// A convex polygon that half-planes are cut from.
class ConvexPolygon {
 public:
  SIMT_HOST_DEVICE void add(const PlanePoint& p) { points_[count_++] = p; }

  /// Leaves what is on the side coordinate * sign <= bound.
  SIMT_HOST_DEVICE ConvexPolygon cut(double PlanePoint::*coordinate, double sign, double bound) const {
    ConvexPolygon out;
    for (std::size_t i = 0; i < count_; ++i) {
      const PlanePoint &a = points_[i], &b = points_[i + 1 == count_ ? 0 : i + 1];
      const double over_a = a.*coordinate * sign - bound, over_b = b.*coordinate * sign - bound;
      if (over_a <= 0) out.add(a);
      if ((over_a <= 0) == (over_b <= 0)) continue;
      const double t = over_a / (over_a - over_b);
      out.add({a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)});
    }
    return out;
  }

  /// By the shoelace formula, from the first corner, so that a small polygon far out loses no digits.
  SIMT_HOST_DEVICE double area() const {
    double twice = 0;
    for (std::size_t i = 2; i < count_; ++i) {
      const PlanePoint &o = points_[0], &a = points_[i - 1], &b = points_[i];
      twice += (a.x - o.x) * (b.y - o.y) - (b.x - o.x) * (a.y - o.y);
    }
    return std::fabs(twice) / 2;
  }

 private:
  // A cut adds one corner to a convex polygon. Rounding may bend it: then at most half as many again, 4 6 9 13 19.
  PlanePoint points_[20];
  std::size_t count_ = 0;
};

}  // namespace d2deploy
