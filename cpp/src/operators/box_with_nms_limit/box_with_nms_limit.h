#pragma once
#include "operators/most_rows.h"
#include "operators/operator.h"

namespace d2deploy {

/// Detections of each image: per class, the boxes whose score is above score_thresh, thinned by non-maximum
/// suppression; then the detections_per_im with the highest scores of all classes. Rows are grouped by image, then by
/// class (not by score over all classes), then by descending score. Equal scores come in the order that libstdc++'s
/// std::sort leaves them in, as in Caffe2; with another standard library that order may differ. With detectron2_order
/// they come by row, then by class, and rows that are not finite, in the scores or boxes of any class, are left out;
/// else, as in Caffe2, a box with NaN suppresses all others of its class that score lower.
struct BoxWithNMSLimit {
  struct Params {
    float score_thresh = 0.05F, nms = 0.3F;
    std::int64_t detections_per_im = 100;
    bool soft_nms_enabled = false;
    std::string soft_nms_method = "linear";
    float soft_nms_sigma = 0.5F, soft_nms_min_score_thres = 0.001F;
    bool rotated = false, cls_agnostic_bbox_reg = false;
    bool input_boxes_include_bg_cls = true, output_classes_include_bg_cls = true;
    bool legacy_plus_one = true;
    bool detectron2_order = false;

    std::int64_t columns() const { return rotated ? 5 : 4; }  ///< of a box
  };
  static constexpr auto fields = std::array{
      field<&Params::score_thresh>("score_thresh", Bound::any, "scores must be above"),
      field<&Params::nms>("nms", Bound::any, "largest IoU of two boxes of a class"),
      field<&Params::detections_per_im>("detections_per_im", Bound::any, "most detections per image; <= 0: all"),
      field<&Params::soft_nms_enabled>("soft_nms_enabled", Bound::any, "lower scores instead of dropping boxes"),
      field<&Params::soft_nms_method>("soft_nms_method", Bound::any, "linear or gaussian"),
      field<&Params::soft_nms_sigma>("soft_nms_sigma", Bound::positive, "of the gaussian method"),
      field<&Params::soft_nms_min_score_thres>("soft_nms_min_score_thres", Bound::any, "lowered scores below drop"),
      field<&Params::rotated>("rotated", Bound::any, "boxes are x, y, w, h and an angle in degrees"),
      field<&Params::cls_agnostic_bbox_reg>("cls_agnostic_bbox_reg", Bound::any, "one box per row for all classes"),
      field<&Params::input_boxes_include_bg_cls>(
          "input_boxes_include_bg_cls", Bound::any,
          "background is column 0 and has boxes; 0: it is the last column and has none"),
      field<&Params::output_classes_include_bg_cls>("output_classes_include_bg_cls", Bound::any,
                                                    "classes are numbered from 1; 0: from 0"),
      field<&Params::legacy_plus_one>("legacy_plus_one", Bound::any, "boxes include their end"),
      field<&Params::detectron2_order>(
          "detectron2_order", Bound::any,
          "equal scores come, and NaN goes, as in Detectron2; our exporter sets it, Caffe2 ignores it"),
  };
  static constexpr Signature signature{
      "BoxWithNMSLimit",
      "scores: float32 any (n, C), background included | boxes: float32 any (n, D) x1, y1, x2, y2 of each class, or "
      "x, y, w, h, angle | "
      "batch_splits?: float32|int32 (N) rows per image",
      "scores: float32 (~m) | boxes: float32 (~m, 4|5) | classes: float32 (~m) | "
      "batch_splits?: float32 (N) detections per image | keeps?: int32 (~m) input rows, counted within the image | "
      "keeps_size?: int32 (N, C) detections per class"};

  /// In which block of 4 or 5 columns the boxes of class 1 <= j < C stand.
  static std::int64_t box_block(const Params& p, std::int64_t j) {
    if (p.cls_agnostic_bbox_reg) return 0;
    return p.input_boxes_include_bg_cls ? j : j - 1;
  }

  static Types infer(const Params& p, const Inputs& in) {
    check<InvalidModel>(p.soft_nms_method == "linear" || p.soft_nms_method == "gaussian", signature.type,
                        ": soft_nms_method must be linear or gaussian, got ", p.soft_nms_method);
    for (std::size_t i = 0; i < 2; ++i)
      check(in[i].rank() == 2 || (in[i].rank() == 4 && in[i][2] == 1 && in[i][3] == 1), signature.type, ": ",
            i == 0 ? "scores" : "boxes", " must have two dimensions, got ", in[i]);
    check(in[0][0] == in[1][0], signature.type, ": scores ", in[0], " and boxes ", in[1],
          " must have equally many rows");
    const std::int64_t n = in[0][0], classes = in[0][1], images = in.size() > 2 ? in[2][0] : 1;
    if (classes != kUnknown) {
      check(classes >= 1, signature.type, ": scores must have a column for the background, got ", in[0]);
      const std::int64_t columns = p.columns() * (box_block(p, classes - 1) + 1);
      check(in[1][1] == kUnknown || in[1][1] == columns, signature.type, ": boxes must have ", columns,
            " columns for scores ", in[0], ", got ", in[1]);
    }
    check<Unsupported>(n <= INT32_MAX, signature.type, ": takes at most 2^31 - 1 rows, got ", n);
    std::int64_t rows = times(n, classes == kUnknown ? kUnknown : classes - 1);
    if (p.detections_per_im > 0) rows = limited(rows, std::max<std::int64_t>(times(images, p.detections_per_im), 0));
    return {f32({rows}), f32({rows, p.columns()}), f32({rows}), f32({images}), i32({rows}), i32({images, classes})};
  }
};

}  // namespace d2deploy
