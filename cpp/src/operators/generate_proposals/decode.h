// From an anchor and its deltas to a proposal: what all kernels do in the same way.
#pragma once
#include "operators/generate_proposals/generate_proposals.h"

namespace d2deploy {

/// How boxes are decoded, and which of them are dropped whatever the image.
struct ProposalRule {
  float plus_one;
  bool only_finite;    ///< detectron2_order: boxes that are not finite before they are clipped go
  AngleBounds bounds;  ///< of rotated boxes, like the angle up to which they are clipped
  float clip_angle_thresh;

  /// Throws as `angle_bounds` does, if rotated.
  static ProposalRule of(const GenerateProposals::Params& p, bool rotated) {
    ProposalRule rule{p.legacy_plus_one ? 1.0F : 0.0F, p.detectron2_order, {}, p.clip_angle_thresh};
    if (rotated) rule.bounds = angle_bounds("GenerateProposals", p.angle_bound_on, p.angle_bound_lo, p.angle_bound_hi);
    return rule;
  }
};

/// What the boxes of an image are clipped to and filtered by.
struct ProposalLimits {
  float height, width;  ///< of the image, as given
  float least;          ///< side of a box

  /// `info`: height, width, scale; `min_size` is in pixels of the unscaled image.
  SIMT_HOST_DEVICE static ProposalLimits of(const float* info, float min_size) {
    return {info[0], info[1], min_size * info[2]};
  }
  // Clipping is to whole pixels, but the centre is compared with the size as it is given, as in Caffe2.
  SIMT_HOST_DEVICE float whole_height() const { return std::trunc(height); }
  SIMT_HOST_DEVICE float whole_width() const { return std::trunc(width); }
  SIMT_HOST_DEVICE bool keep(float x, float y, float w, float h) const {
    return w >= least && h >= least && x < width && y < height;
  }
};

/// Pixels of the image from one cell of the feature map to the next.
inline float cell_pixels(float spatial_scale) { return static_cast<float>(1.0 / static_cast<double>(spatial_scale)); }

/// The box that deltas make of an anchor moved by (dx, dy), in `out`; false where it is to be dropped.
SIMT_HOST_DEVICE inline bool decode_upright(const ProposalRule& rule, const ProposalLimits& limits, const float* anchor,
                                            float dx, float dy, const float* deltas, float* out) {
  const float p = rule.plus_one;
  const Box a = load_box(anchor);
  const Box decoded = decode_box({a.x1 + dx, a.y1 + dy, a.x2 + dx, a.y2 + dy}, deltas, {}, p);
  const Box box = clip_box(decoded, limits.whole_width(), limits.whole_height(), p);
  store_box(box, out);
  const float w = width(box, p), h = height(box, p);
  return limits.keep(box.x1 + w / 2, box.y1 + h / 2, w, h) && (!rule.only_finite || is_finite(decoded));
}

SIMT_HOST_DEVICE inline bool decode_rotated(const ProposalRule& rule, const ProposalLimits& limits, const float* anchor,
                                            float dx, float dy, const float* deltas, float* out) {
  const RotatedBox a = load_rotated_box(anchor);
  const RotatedBox decoded = decode_rotated_box({a.x + dx, a.y + dy, a.w, a.h, a.angle}, deltas, {}, rule.bounds);
  const RotatedBox box =
      clip_rotated_box(decoded, limits.whole_width(), limits.whole_height(), rule.clip_angle_thresh, rule.plus_one);
  store_rotated_box(box, out);
  return is_finite(rule.only_finite ? decoded : box) && limits.keep(box.x, box.y, box.w, box.h);
}

}  // namespace d2deploy
