// Small nets of every kind that Detectron2 exports, and a batch of pictures for them.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "net_run.h"
#include "small_detector.h"

namespace d2deploy::testing {

// Masks of `channels` per detection, pooled from two levels.
inline std::string mask_head(int channels) {
  return weights("wm", "4x4x2x2", 64) + weights("wp", dims({channels, 4, 1, 1}).c_str(), channels * 4) +
         weights("bp", dims({channels}).c_str(), channels) + R"(
m2, m3, m_order = DistributeFpnProposals(box) {roi_min_level=2 roi_max_level=3 roi_canonical_scale=8 roi_canonical_level=2}
ma2 = RoIAlign(p2, m2) {spatial_scale=0.5 pooled_h=4 pooled_w=4 aligned=1}
ma3 = RoIAlign(p3, m3) {spatial_scale=0.25 pooled_h=4 pooled_w=4 aligned=1}
m_shuffled = Concat(ma2, ma3) {axis=0}
m_pooled = BatchPermutation(m_shuffled, m_order)
m_up = ConvTranspose(m_pooled, wm, b) {kernels=[2,2] strides=[2,2]}
m_relu = Relu(m_up)
m_logits = Conv(m_relu, wp, bp) {kernels=[1,1]}
mask = Sigmoid(m_logits)
)";
}

inline std::string keypoint_head() {
  return weights("wk", "4x3x4x4", 192) + weights("bk", "3", 3) + R"(
k_pooled = RoIAlign(p2, box) {spatial_scale=0.5 pooled_h=4 pooled_w=4 sampling_ratio=2 aligned=1}
k_up = ConvTranspose(k_pooled, wk, bk) {kernels=[4,4] strides=[2,2] pads=[1,1,1,1]}
kps = ResizeNearest(k_up) {width_scale=2.0 height_scale=2.0}
keypoints = HeatmapMaxKeypoint(kps, box)
)";
}

// Classes of every pixel, from both levels; enlarged by a transposed convolution of each channel alone, too.
inline std::string semantic_head() {
  return weights("wsem", "32x4x1x1", 128) + weights("bsem", "32", 32) + weights("wup", "32x1x4x4", 512) + R"(
sem2 = Conv(p2, wsem, bsem) {kernels=[1,1]}
sem3 = Conv(p3, wsem, bsem) {kernels=[1,1]}
sem3_up = UpsampleNearest(sem3) {scale=2}
sem_sum = Add(sem2, sem3_up)
sem_resized = ResizeBilinear(sem_sum) {width_scale=2.0 height_scale=2.0}
sem_up = ConvTranspose(sem_sum, wup) {kernels=[4,4] strides=[2,2] pads=[1,1,1,1] group=32}
sem = Add(sem_resized, sem_up)
)";
}

// A mask per detection, and a class per pixel, whose least certain points are predicted anew.
inline std::string point_heads() {
  return weights("wcoarse", "2x4x1x1", 8) + weights("bcoarse", "2", 2) + weights("wpoint", "2x6x1x1", 12) +
         weights("bpoint", "2", 2) + R"(
const grid float32 1x4x2 = 0.25 0.25 0.75 0.25 0.25 0.75 0.75 0.75
pt_pooled = PointSample(p2, grid, box) {spatial_scale=0.5 width=2}
pt_coarse = Conv(pt_pooled, wcoarse, bcoarse) {kernels=[1,1]}
pt_own = PointSample(pt_coarse, grid) {width=2}
pt_seen = Concat(pt_pooled, pt_own) {axis=1}
pt_logits = Conv(pt_seen, wpoint, bpoint) {kernels=[1,1]}
pt_first = OwnClass(pt_logits, class)
pt_large = Interpolate(pt_first) {height_scale=4.0 width_scale=4.0}
pt_places, pt_points = UncertainPoints(pt_large) {count=15}
pt_fine = PointSample(p2, pt_points, box) {spatial_scale=0.5}
pt_own2 = PointSample(pt_coarse, pt_points)
pt_seen2 = Concat(pt_fine, pt_own2) {axis=1}
pt_logits2 = Conv(pt_seen2, wpoint, bpoint) {kernels=[1,1]}
pt_values = OwnClass(pt_logits2, class)
pt_refined = PutPoints(pt_large, pt_places, pt_values)
mask = Sigmoid(pt_refined)
sem_coarse = Conv(p2, wcoarse, bcoarse) {kernels=[1,1]}
sem_large = Interpolate(sem_coarse) {height_scale=2.0 width_scale=2.0}
sem_places, sem_points = UncertainPoints(sem_large) {count=50}
sem_fine = PointSample(p2, sem_points)
sem_own = PointSample(sem_coarse, sem_points)
sem_seen = Concat(sem_fine, sem_own) {axis=1}
sem_values = Conv(sem_seen, wpoint, bpoint) {kernels=[1,1]}
refined = PutPoints(sem_large, sem_places, sem_values)
)";
}

// One level, a head of convolutions, and masks through the same convolutions.
inline std::string c4(const char* outputs) {
  return small_backbone() + weights("ws", "3x4x1x1", 12) + weights("bs", "3", 3) + weights("wd", "12x4x1x1", 48) +
         weights("bd", "12", 12) + weights("wr", "4x4x3x3", 144) + weights("wm", "4x4x2x2", 64) + R"(
const anchors float32 3x4 = -4 -4 4 4 -8 -4 8 4 -4 -8 4 8
l3 = Conv(p3, ws, bs) {kernels=[1,1]}
s3 = Sigmoid(l3)
d3 = Conv(p3, wd, bd) {kernels=[1,1]}
rois, rpn_scores = GenerateProposals(s3, d3, im_info, anchors) {spatial_scale=0.25 pre_nms_topN=40 post_nms_topN=10 min_size=0.0 legacy_plus_one=0}
a3 = RoIAlign(p3, rois) {spatial_scale=0.25 pooled_h=8 pooled_w=8 aligned=1}
res5 = Conv(a3, wr, b) {kernels=[3,3] strides=[2,2] pads=[1,1,1,1]}
average = AveragePool(res5) {kernels=[2,2] strides=[2,2]}
pooled = Sigmoid(average)
)" + small_box_head(2) +
         R"(m_pooled = RoIAlign(p3, box) {spatial_scale=0.25 pooled_h=8 pooled_w=8 aligned=1}
m_res5 = Conv(m_pooled, wr, b) {kernels=[3,3] strides=[2,2] pads=[1,1,1,1]}
m_up = ConvTranspose(m_res5, wm, b) {kernels=[2,2] strides=[2,2]}
mask = Sigmoid(m_up)
output )" +
         outputs;
}

inline std::string retinanet() {
  return small_backbone() + weights("wl", "6x4x3x3", 216) + weights("bl", "6", 6) + weights("wd", "12x4x3x3", 432) +
         weights("bd", "12", 12) + R"(
box_cls_0 = Conv(p2, wl, bl) {kernels=[3,3] pads=[1,1,1,1]}
box_cls_1 = Conv(p3, wl, bl) {kernels=[3,3] pads=[1,1,1,1]}
box_delta_0 = Conv(p2, wd, bd) {kernels=[3,3] pads=[1,1,1,1]}
box_delta_1 = Conv(p3, wd, bd) {kernels=[3,3] pads=[1,1,1,1]}
output box_cls_0 box_cls_1 box_delta_0 box_delta_1
)";
}

struct SmallNet {
  const char* name;
  std::string text;
  std::set<std::string> of_images;  // outputs with one row per image; the others have one per detection
  std::int64_t mask_channels = 0;
};

inline std::string detector(int classes, const std::string& head, const char* outputs) {
  return small_detector_without_outputs(classes) + head + "output score box class per_image " + outputs + '\n';
}

inline std::vector<SmallNet> small_nets() {
  return {{"Faster", detector(2, "", ""), {"per_image"}},
          {"Mask", detector(2, mask_head(2), "mask"), {"per_image"}, 2},
          {"ClassAgnosticMask", detector(2, mask_head(1), "mask"), {"per_image"}, 1},
          {"OneClass", detector(1, mask_head(1), "mask"), {"per_image"}, 1},
          {"Lvis", detector(1203, mask_head(1203), "mask"), {"per_image"}, 1203},
          {"Keypoint", detector(1, keypoint_head(), "kps keypoints"), {"per_image"}},
          {"Panoptic", detector(2, mask_head(2) + semantic_head(), "mask sem"), {"per_image", "sem"}, 2},
          {"PointRend", detector(2, point_heads(), "mask refined"), {"per_image", "refined"}, 1},
          {"C4Mask", c4("score box class per_image mask\n"), {"per_image"}, 4},
          {"RetinaNet", retinanet(), {"box_cls_0", "box_cls_1", "box_delta_0", "box_delta_1"}}};
}

inline constexpr std::int64_t kImages = 3, kHeight = 20, kWidth = 24;

inline Tensors pictures() {
  const Tensor im_info = Tensor::of<float>({kImages, 3}, {40, 48, 1, 31, 45, 1.25F, 38, 29, 0.5F});
  return {{"data", noise({kImages, 2, kHeight, kWidth}, 7)}, {"im_info", im_info}};
}

inline Tensor rows(const Tensor& t, std::int64_t first, std::int64_t count) {
  TensorType type = t.type();
  const std::int64_t row = type.shape[0] == 0 ? 0 : t.bytes() / type.shape[0];
  type.shape[0] = count;
  return Tensor::view(type, static_cast<std::byte*>(const_cast<void*>(t.raw())) + first * row).clone();
}

inline Tensors image(const Tensors& inputs, std::int64_t i) {
  Tensors one;
  for (const auto& [name, t] : inputs) one[name] = rows(t, i, 1);
  return one;
}

inline void PrintTo(const SmallNet& net, std::ostream* out) { *out << net.name; }

}  // namespace d2deploy::testing
