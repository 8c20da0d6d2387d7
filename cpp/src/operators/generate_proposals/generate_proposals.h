#pragma once
#include "kernels/rotated_boxes.h"
#include "operators/most_rows.h"
#include "operators/operator.h"

namespace d2deploy {

/// Proposals of a region proposal network, image by image: the pre_nms_topN anchors with the highest scores are moved
/// by their deltas, clipped to the image, filtered by size, and thinned by non-maximum suppression to post_nms_topN.
/// Equal scores come in the order that libstdc++'s std::sort or std::partial_sort leaves them in, as in Caffe2; with
/// another standard library that order may differ. So it is with detectron2_order: then they come as from PyTorch's
/// topk, which Detectron2 calls, on the CPU. A NaN score ranks last. Boxes with a NaN corner are dropped; with
/// detectron2_order all boxes that are not finite before they are clipped, and all scores that are not, among which NaN
/// ranks first, as in Detectron2.
/// On a GPU equal scores come so on maps of up to 16384 scores, or 256 with detectron2_order; on larger ones by place.
/// Anchors of five columns are rotated boxes x, y, w, h, angle: centre, size, and degrees counter-clockwise. Of those
/// only the (almost) upright ones are clipped, and all that are not finite are dropped.
struct GenerateProposals {
  struct Params {
    float spatial_scale = 1.0F / 16;
    std::int64_t pre_nms_topN = 6000, post_nms_topN = 300;
    float nms_thresh = 0.7F, min_size = 16;
    bool legacy_plus_one = true;
    bool angle_bound_on = true;
    std::int64_t angle_bound_lo = -90, angle_bound_hi = 90;
    float clip_angle_thresh = 1;
    std::int64_t correct_transform_coords = 0;
    bool detectron2_order = false;
  };
  /// All but what differs from level to level of a pyramid.
  static constexpr auto shared_fields = std::array{
      field<&Params::pre_nms_topN>("pre_nms_topN", Bound::any, "most candidates per image; <= 0: all"),
      field<&Params::post_nms_topN>("post_nms_topN", Bound::any, "most proposals per image; <= 0: all"),
      field<&Params::nms_thresh>("nms_thresh", Bound::any, "largest IoU of two proposals"),
      field<&Params::min_size>("min_size", Bound::any, "least width and height, in pixels of the unscaled image"),
      field<&Params::legacy_plus_one>("legacy_plus_one", Bound::any, "boxes include their end"),
      field<&Params::angle_bound_on>("angle_bound_on", Bound::any, "move angles into bounds; rotated boxes only"),
      field<&Params::angle_bound_lo>("angle_bound_lo", Bound::any, "least angle, degrees"),
      field<&Params::angle_bound_hi>("angle_bound_hi", Bound::any, "greatest angle, degrees"),
      field<&Params::clip_angle_thresh>("clip_angle_thresh", Bound::any,
                                        "rotated boxes are clipped up to this angle, degrees"),
      field<&Params::correct_transform_coords>("correct_transform_coords", Bound::any, "ignored; old files have it"),
      field<&Params::detectron2_order>(
          "detectron2_order", Bound::any,
          "equal scores come, and NaN goes, as in Detectron2; our exporter sets it, Caffe2 ignores it")};
  static constexpr auto fields = joined(
      std::array{field<&Params::spatial_scale>("spatial_scale", Bound::positive, "feature map cells per image pixel")},
      shared_fields);
  static constexpr Signature signature{
      "GenerateProposals",
      "scores: float32 (N, A, H, W) | deltas: float32 (N, D, H, W) D = 4 A, or 5 A | "
      "im_info: float32 (N, 3) height, width, scale | anchors: float32 (A, 4|5) x1, y1, x2, y2 in image pixels, or "
      "x, y, w, h, angle",
      "rois: float32 (~n, 5|6) image, box | probs: float32 (~n) the scores",
      LayoutRule::any,
      none,
      "GenerateProposalsCPP"};

  /// Most proposals of one image.
  static std::int64_t most(const Params& p, const Shape& scores) {
    const std::int64_t count = times(times(scores[1], scores[2]), scores[3]);
    return limited(limited(count, p.pre_nms_topN), p.post_nms_topN);
  }
  static Types infer(const Params& p, const Inputs& in) {
    const std::int64_t box = in[3][1], channels = times(box, in[3][0]);
    if (box == 5) (void)angle_bounds(signature.type, p.angle_bound_on, p.angle_bound_lo, p.angle_bound_hi);
    check(in[1][1] == kUnknown || channels == kUnknown || in[1][1] == channels, signature.type, ": deltas must have ",
          box, " channels for each of ", in[3][0], " anchors, got ", in[1]);
    check<Unsupported>(times(times(in[0][1], in[0][2]), in[0][3]) <= INT32_MAX, signature.type,
                       ": takes at most 2^31 - 1 scores per image, got ", in[0]);
    const std::int64_t rows = times(in[0][0], most(p, in[0]));
    return {f32({rows, plus(box, 1)}), f32({rows})};
  }
};

}  // namespace d2deploy
