#pragma once
#include "operators/roi_align/roi_align.h"

namespace d2deploy {

/// Features of each rotated RoI, resampled in its own frame to pooled_h x pooled_w bins; a bin is the mean of bilinear
/// samples. Angles are in degrees, counter-clockwise. Takes RoIAlign's arguments, and differs from Caffe2 where
/// RoIAlign does: zeros for a RoI of size zero with sampling_ratio <= 0, of a negative size with aligned=1, or with
/// values that are not finite; errors for image indices that are out of range.
struct RoIAlignRotated {
  using Params = RoIAlign::Params;
  static constexpr auto fields = RoIAlign::fields;
  static constexpr Signature signature{
      "RoIAlignRotated", "X: float32 (N, C, H, W) | rois: float32 (R, 5|6) [image,] x, y, w, h, angle in image pixels",
      "Y: float32 (R, C, pooled_h, pooled_w)", LayoutRule::any};

  static Types infer(const Params& p, const Inputs& in) {
    RoIAlign::check_params(signature.type, p.order, p.grid());
    return {f32({in[1][0], in[0][1], p.pooled_h, p.pooled_w})};
  }
};

}  // namespace d2deploy
