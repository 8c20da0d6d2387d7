// Moving one RoI by the deltas of one class: what all kernels of BBoxTransform do in the same way.
#pragma once
#include "operators/bbox_transform/bbox_transform.h"

namespace d2deploy {

struct TransformRule {
  DeltaWeights weights;
  float plus_one;
  bool apply_scale;
  AngleBounds bounds;  ///< of rotated boxes, like the angle up to which they are clipped
  float clip_angle_thresh;

  static TransformRule of(const BBoxTransform::Params& p) {
    TransformRule rule{{p.weights[0], p.weights[1], p.weights[2], p.weights[3]},
                       p.legacy_plus_one ? 1.0F : 0.0F,
                       p.apply_scale,
                       {},
                       p.clip_angle_thresh};
    if (p.rotated) rule.bounds = angle_bounds("BBoxTransform", p.angle_bound_on, p.angle_bound_lo, p.angle_bound_hi);
    return rule;
  }
};

/// An image as its boxes see it.
struct TransformFrame {
  float width, height;  ///< of the original image, in whole pixels
  float scale;          ///< of the input to it

  /// `info`: height, width, scale.
  SIMT_HOST_DEVICE static TransformFrame of(const float* info) {
    return {whole(info[1], info[2]), whole(info[0], info[2]), info[2]};
  }

 private:
  // Rounded in double, as Caffe2 does.
  SIMT_HOST_DEVICE static float whole(float size, float scale) {
    return static_cast<float>(std::trunc(static_cast<double>(size / scale) + 0.5));
  }
};

SIMT_HOST_DEVICE inline void transform_upright(const TransformRule& rule, const TransformFrame& frame, const float* roi,
                                               const float* deltas, float* out) {
  const Box box = load_box(roi);
  const Box original{box.x1 / frame.scale, box.y1 / frame.scale, box.x2 / frame.scale, box.y2 / frame.scale};
  const Box b =
      clip_box(decode_box(original, deltas, rule.weights, rule.plus_one), frame.width, frame.height, rule.plus_one);
  const float factor = rule.apply_scale ? frame.scale : 1.0F;
  store_box({b.x1 * factor, b.y1 * factor, b.x2 * factor, b.y2 * factor}, out);
}

SIMT_HOST_DEVICE inline void transform_rotated(const TransformRule& rule, const TransformFrame& frame, const float* roi,
                                               const float* deltas, float* out) {
  const RotatedBox box = load_rotated_box(roi);
  const RotatedBox original{box.x / frame.scale, box.y / frame.scale, box.w / frame.scale, box.h / frame.scale,
                            box.angle};
  const RotatedBox b = clip_rotated_box(decode_rotated_box(original, deltas, rule.weights, rule.bounds), frame.width,
                                        frame.height, rule.clip_angle_thresh, rule.plus_one);
  const float factor = rule.apply_scale ? frame.scale : 1.0F;
  store_rotated_box({b.x * factor, b.y * factor, b.w * factor, b.h * factor, b.angle}, out);
}

/// Throws InvalidArgument unless the scale of an image is positive; NaN is not.
inline void check_scale(std::int64_t image, float scale) {
  check(scale > 0, "BBoxTransform: the scale of image ", image, " in im_info is ", scale, ", must be positive");
}

}  // namespace d2deploy
