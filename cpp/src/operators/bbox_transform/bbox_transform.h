#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Moves each RoI by the deltas of every class, and clips it to its image. The RoIs stand in the scaled image,
/// im_info[:, 2] times the original; clipping is to the original, rounded to whole pixels.
/// Each row uses the im_info of its own image. Caffe2 does so only where the rows are grouped by ascending image, and
/// silently takes another image's otherwise.
struct BBoxTransform {
  struct Params {
    Floats weights{1, 1, 1, 1};
    bool apply_scale = true, rotated = false, angle_bound_on = true;
    std::int64_t angle_bound_lo = -90, angle_bound_hi = 90;
    float clip_angle_thresh = 1;
    bool legacy_plus_one = true;
  };
  static constexpr auto fields = std::tuple{
      field("weights", &Params::weights, Bound::any, "divisors of dx, dy, dw, dh"),
      field("apply_scale", &Params::apply_scale, Bound::any, "boxes of the scaled image; 0: of the original"),
      field("rotated", &Params::rotated, Bound::any, "boxes have an angle"),
      field("angle_bound_on", &Params::angle_bound_on, Bound::any, "rotated boxes only"),
      field("angle_bound_lo", &Params::angle_bound_lo, Bound::any, "rotated boxes only, degrees"),
      field("angle_bound_hi", &Params::angle_bound_hi, Bound::any, "rotated boxes only, degrees"),
      field("clip_angle_thresh", &Params::clip_angle_thresh, Bound::any, "rotated boxes only, degrees"),
      field("legacy_plus_one", &Params::legacy_plus_one, Bound::any, "boxes include their end"),
  };
  static constexpr Signature signature{
      "BBoxTransform",
      "rois: float32 (R, 4|5) [image,] x1, y1, x2, y2 | deltas: float32 (R, D) dx, dy, dw, dh of each class | "
      "im_info: float32 (N, 3) height, width, scale",
      "boxes: float32 (R, D) x1, y1, x2, y2 of each class | batch_splits?: float32 (N) rows per image"};

  static Types infer(const Params& p, const Inputs& in) {
    check<Unsupported>(!p.rotated, signature.type, ": rotated=1 is not supported here");
    check<InvalidModel>(p.weights.size() == 4, signature.type, ": weights must be 4 numbers, got ", p.weights.size());
    check(in[1][1] == kUnknown || in[1][1] % 4 == 0, signature.type, ": deltas must have 4 columns per class, got ",
          in[1]);
    check(in[0][1] == 5 || in[2][0] == 1 || in[2][0] == kUnknown, signature.type,
          ": rois without an image column want one row of im_info, got ", in[2]);
    return {f32({in[0][0], in[1][1]}), f32({in[2][0]})};
  }
};

}  // namespace d2deploy
