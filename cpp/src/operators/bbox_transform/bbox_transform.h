#pragma once
#include "kernels/rotated_boxes.h"
#include "operators/operator.h"

namespace d2deploy {

/// Moves each RoI by the deltas of every class, and clips it to its image. The RoIs stand in the scaled image,
/// im_info[:, 2] times the original; clipping is to the original, rounded to whole pixels. With rotated=1 boxes are
/// x, y, w, h, angle: centre, size, and degrees counter-clockwise; only those that are (almost) upright are clipped.
/// Each row uses the im_info of its own image. Caffe2 does so only where the rows are grouped by ascending image, and
/// silently takes another image's otherwise.
struct BBoxTransform {
  struct Params {
    Floats weights{1, 1, 1, 1};
    bool apply_scale = true, rotated = false, angle_bound_on = true;
    std::int64_t angle_bound_lo = -90, angle_bound_hi = 90;
    float clip_angle_thresh = 1;
    bool legacy_plus_one = true;

    std::int64_t columns() const { return rotated ? 5 : 4; }  ///< of a box
  };
  static constexpr auto fields = std::array{
      field<&Params::weights>("weights", Bound::any, "divisors of dx, dy, dw, dh"),
      field<&Params::apply_scale>("apply_scale", Bound::any, "boxes of the scaled image; 0: of the original"),
      field<&Params::rotated>("rotated", Bound::any, "boxes have an angle"),
      field<&Params::angle_bound_on>("angle_bound_on", Bound::any, "move angles into bounds; rotated boxes only"),
      field<&Params::angle_bound_lo>("angle_bound_lo", Bound::any, "least angle, degrees"),
      field<&Params::angle_bound_hi>("angle_bound_hi", Bound::any, "greatest angle, degrees"),
      field<&Params::clip_angle_thresh>("clip_angle_thresh", Bound::any,
                                        "rotated boxes are clipped up to this angle, degrees"),
      field<&Params::legacy_plus_one>("legacy_plus_one", Bound::any, "boxes include their end"),
  };
  static constexpr Signature signature{
      "BBoxTransform",
      "rois: float32 (R, 4|5|6) [image,] x1, y1, x2, y2; or [image,] x, y, w, h, angle | "
      "deltas: float32 (R, D) dx, dy, dw, dh[, da] of each class | "
      "im_info: float32 (N, 3) height, width, scale",
      "boxes: float32 (R, D) x1, y1, x2, y2 of each class, or x, y, w, h, angle | batch_splits?: float32 (N) rows per "
      "image"};

  static Types infer(const Params& p, const Inputs& in) {
    check<InvalidModel>(p.weights.size() == 4, signature.type, ": weights must be 4 numbers, got ", p.weights.size());
    if (p.rotated) (void)angle_bounds(signature.type, p.angle_bound_on, p.angle_bound_lo, p.angle_bound_hi);
    const std::int64_t box = p.columns(), columns = in[0][1];
    check(columns == kUnknown || columns == box || columns == box + 1, signature.type, ": rois must have ", box,
          " columns, or ", box + 1, " with the image first, when rotated=", p.rotated ? 1 : 0, ", got ", in[0]);
    check(in[1][1] == kUnknown || in[1][1] % box == 0, signature.type, ": deltas must have ", box,
          " columns per class, got ", in[1]);
    check(columns != box || in[2][0] == 1 || in[2][0] == kUnknown, signature.type,
          ": rois without an image column want one row of im_info, got ", in[2]);
    return {f32({in[0][0], in[1][1]}), f32({in[2][0]})};
  }
};

}  // namespace d2deploy
