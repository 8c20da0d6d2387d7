// Nets of each of Detectron2's kinds, with the arguments of their files, small enough to run thousands of times a
// second.
#pragma once
#include <array>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "d2deploy/image.h"
#include "net_builder.h"
#include "small_detector.h"

namespace d2deploy::testing {

// Detections by their names in files, and what a head gets for each of them.
inline std::string named_detections() {
  return R"(bbox_nms = Copy(box)
score_nms = Copy(score)
class_nms = Copy(class)
for_heads = RoIAlign(p2, bbox_nms) {spatial_scale=1.0 pooled_h=2 pooled_w=2 aligned=1}
output bbox_nms
output score_nms
output class_nms
)";
}

inline std::string panoptic_fpn() {
  return small_detector_without_outputs() + named_detections() + weights("wm", "4x2x2x2", 32) + weights("bm", "2", 2) +
         weights("wg", "3x4x1x1", 12) + weights("bg", "3", 3) +
         R"(mask_logits = ConvTranspose(for_heads, wm, bm) {kernels=[2,2] strides=[2,2]}
mask_fcn_probs = Sigmoid(mask_logits)
sem_seg = Conv(p2, wg, bg) {kernels=[1,1]}
output mask_fcn_probs
output sem_seg
)";
}

inline std::string keypoint_rcnn() {
  return small_detector_without_outputs() + named_detections() + weights("wk", "4x3x2x2", 48) + weights("bk", "3", 3) +
         R"(kps_score = ConvTranspose(for_heads, wk, bk) {kernels=[2,2] strides=[2,2]}
output kps_score
)";
}

inline std::string one_level_retinanet() {
  return small_backbone() + weights("wl", "6x4x1x1", 24) + weights("bl", "6", 6) + weights("wd", "12x4x1x1", 48) +
         weights("bd", "12", 12) + R"(box_cls_0 = Conv(p2, wl, bl) {kernels=[1,1]}
box_delta_0 = Conv(p2, wd, bd) {kernels=[1,1]}
output box_cls_0
output box_delta_0
)";
}

inline std::string rpn() {
  return small_detector_without_outputs() + R"(rpn_rois = Copy(r2)
rpn_scores = Copy(q2)
output rpn_rois
output rpn_scores
)";
}

/// The same net with weights so small that boxes stay in the picture.
inline std::string calmed(const std::string& text) {
  std::istringstream lines(text);
  std::string out, line;
  while (std::getline(lines, line)) {
    const std::size_t values = line.find('=');
    if (line.starts_with("const ") && !line.starts_with("const anchors")) {
      out += line.substr(0, values + 1);
      std::istringstream numbers(line.substr(values + 1));
      for (float number = 0; numbers >> number;) out += ' ' + std::to_string(number / 64);
    } else {
      out += line;
    }
    out += '\n';
  }
  return out;
}

inline std::string semantic() {
  return small_backbone() + weights("wg", "3x4x1x1", 12) + weights("bg", "3", 3) +
         "sem_seg = Conv(p2, wg, bg) {kernels=[1,1]}\noutput sem_seg\n";
}

inline std::string fast_rcnn() {
  return "input proposals float32 ?x5\n" + small_backbone() + R"(rois = Copy(proposals)
pooled = RoIAlign(p2, rois) {spatial_scale=0.5 pooled_h=2 pooled_w=2 aligned=1}
)" + small_box_head(2) +
         named_detections();
}

/// A net, and the arguments of its file.
struct DetectorCase {
  const char* name;
  std::string text;
  std::vector<NamedArg> attributes;
};

inline std::vector<NamedArg> named(const char* meta_architecture) {
  return {{"meta_architecture", std::string(meta_architecture)},
          {"pixel_mean", Floats{3, 4}},
          {"class_names", Strings{"one", "two"}},
          {"min_size_test", std::int64_t{12}},
          {"size_divisibility", std::int64_t{4}}};
}

inline std::vector<DetectorCase> detectors() {
  auto panoptic = named("PanopticFPN"), dense = named("RetinaNet");
  for (const NamedArg& more : {NamedArg{"combine_overlap_threshold", 0.5F},
                               {"combine_stuff_area_limit", 1.0F},
                               {"combine_instances_confidence_threshold", 0.1F}})
    panoptic.push_back(more);
  for (const NamedArg& more : {NamedArg{"cell_anchors", Floats{-4, -4, 4, 4, -8, -4, 8, 4, -4, -8, 4, 8}},
                               {"anchor_strides", Floats{1}},
                               {"bbox_reg_weights", Floats{1, 1, 1, 1}},
                               {"score_threshold", 0.05F},
                               {"topk_candidates", std::int64_t{100}},
                               {"nms_threshold", 0.5F},
                               {"max_detections_per_image", std::int64_t{10}}})
    dense.push_back(more);
  return {{"panoptic", calmed(panoptic_fpn()), panoptic},
          {"keypoints", calmed(keypoint_rcnn()), named("GeneralizedRCNN")},
          {"retinanet", calmed(one_level_retinanet()), dense},
          {"proposals", calmed(rpn()), named("GeneralizedRCNN")}};
}

/// Pictures that are enlarged and padded, of two channels, by number from 0 to 7; all have the same size.
constexpr std::int64_t kHeight = 6, kWidth = 7;
inline ImageView picture(std::size_t number = 0) {
  static const auto pixels = [] {
    std::array<std::array<std::uint8_t, kHeight * kWidth * 2>, 8> out{};
    for (std::size_t n = 0; n < out.size(); ++n)
      for (std::size_t i = 0; i < out[n].size(); ++i) out[n][i] = static_cast<std::uint8_t>(i * (37 + n) % (5 + 3 * n));
    return out;
  }();
  return {pixels[number].data(), kHeight, kWidth, kWidth * 2, 2, ChannelOrder::as_is};
}

}  // namespace d2deploy::testing
