#pragma once
#include "operators/dims.h"
#include "operators/most_rows.h"
#include "operators/operator.h"

namespace d2deploy {

/// X at points, interpolated between the middles of its cells, and towards zeros around it. Without rois, the points of
/// row r lie at (x W, y H) of image r, where the middle of the first cell is at (1/2, 1/2). With rois they lie in the
/// box of row r, at spatial_scale (x1 + x (x2 - x1)), spatial_scale (y1 + y (y2 - y1)) of the map of its image. Where
/// that is not finite Y is 0. Row i of the cells of Y has the points i width to (i + 1) width - 1.
/// An extension: the original Caffe2 has no such operator.
struct PointSample {
  struct Params {
    float spatial_scale = 1;
    std::int64_t width = 1;
  };
  static constexpr auto fields =
      std::array{field<&Params::spatial_scale>("spatial_scale", Bound::positive, "feature map cells per image pixel"),
                 field<&Params::width>("width", Bound::positive, "columns of Y, points of each of its rows of cells")};
  static constexpr Signature signature{
      "PointSample",
      "X: real (N, C, H, W) | points: float32 (M, P, 2) x, y from 0 to 1, one row for all or one for each | "
      "rois?: float32 (R, 4|5) [image,] x1, y1, x2, y2 in image pixels",
      "Y: real (Q, C, H2, W2) Q = R, or N without rois; H2 W2 = P", LayoutRule::any, keeps_range};

  /// `rows` of boxes, or images.
  static void check_rows(std::int64_t points, std::int64_t rows) {
    check(may_equal(points, rows) || points == 1, "PointSample: points have ", points, " rows, wanted 1 or ", rows);
  }

  static Types infer(const Params& p, const Inputs& in) {
    const std::int64_t rows = in.size() > 2 ? in[2][0] : in[0][0], count = in[1][1];
    check_rows(in[1][0], rows);
    check(count == kUnknown || count % p.width == 0, "PointSample: ", count, " points do not fill rows of ", p.width);
    return {f32({rows, in[0][1], count == kUnknown ? kUnknown : count / p.width, p.width})};
  }
};

}  // namespace d2deploy
