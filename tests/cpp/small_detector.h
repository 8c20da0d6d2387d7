// A detector as text, small enough to run thousands of times a second.
#pragma once
#include <string>

namespace d2deploy::testing {

// Values for a `const` line: small, of both signs, not all equal.
inline std::string weights(const char* name, const char* dims, int count) {
  std::string text = std::string("const ") + name + " float32 " + dims + " =";
  for (int i = 0; i < count; ++i) text += ' ' + std::to_string(i * 7 % 11 - 5) + (i % 2 ? ".5" : ".25");
  return text + '\n';
}

inline std::string dims(std::initializer_list<int> list) {
  std::string text;
  for (const int d : list) text += (text.empty() ? "" : "x") + std::to_string(d);
  return text;
}

// What a detector begins with: two pyramid levels, p2 and p3.
inline std::string small_backbone() {
  return "input data float32 ?x2x?x?\ninput im_info float32 ?x3\n" + weights("w", "4x2x3x3", 72) +
         weights("b", "4", 4) +
         R"(c0 = Conv(data, w, b) {kernels=[3,3] pads=[1,1,1,1]}
p2 = Relu(c0)
p3 = MaxPool(p2) {kernels=[1,1] strides=[2,2]}
)";
}

// From RoIs and what was pooled for them, `pooled` (R, 4, 2, 2), to detections.
inline std::string small_box_head(int classes) {
  const int scores = classes + 1, deltas = 4 * classes;
  return weights("wf", "6x16", 96) + weights("bf", "6", 6) + weights("wc", dims({scores, 6}).c_str(), scores * 6) +
         weights("bc", dims({scores}).c_str(), scores) + weights("wb", dims({deltas, 6}).c_str(), deltas * 6) +
         weights("bb", dims({deltas}).c_str(), deltas) + R"(flat = Flatten(pooled)
h = FC(flat, wf, bf)
hr = Relu(h)
logits = FC(hr, wc, bc)
deltas = FC(hr, wb, bb)
prob = Softmax(logits)
boxes, splits = BBoxTransform(rois, deltas, im_info) {weights=[10.0,10.0,5.0,5.0] apply_scale=1 legacy_plus_one=0}
score, box, class, per_image, keeps, keeps_size = BoxWithNMSLimit(prob, boxes, splits) {score_thresh=0.0 nms=0.5 detections_per_im=7 input_boxes_include_bg_cls=0 output_classes_include_bg_cls=0 legacy_plus_one=0}
)";
}

// A detector with two pyramid levels, up to its detections.
inline std::string small_detector_without_outputs(int classes = 2) {
  return small_backbone() + weights("ws", "3x4x1x1", 12) + weights("bs", "3", 3) + weights("wd", "12x4x1x1", 48) +
         weights("bd", "12", 12) + R"(
const anchors float32 3x4 = -4 -4 4 4 -8 -4 8 4 -4 -8 4 8
l2 = Conv(p2, ws, bs) {kernels=[1,1]}
s2 = Sigmoid(l2)
d2 = Conv(p2, wd, bd) {kernels=[1,1]}
l3 = Conv(p3, ws, bs) {kernels=[1,1]}
s3 = Sigmoid(l3)
d3 = Conv(p3, wd, bd) {kernels=[1,1]}
r2, q2 = GenerateProposals(s2, d2, im_info, anchors) {spatial_scale=0.5 pre_nms_topN=40 post_nms_topN=10 min_size=0.0 legacy_plus_one=0}
r3, q3 = GenerateProposals(s3, d3, im_info, anchors) {spatial_scale=0.25 pre_nms_topN=40 post_nms_topN=10 min_size=0.0 legacy_plus_one=0}
rois = CollectRpnProposals(r2, r3, q2, q3) {rpn_min_level=2 rpn_max_level=3 rpn_post_nms_topN=12}
f2, f3, order = DistributeFpnProposals(rois) {roi_min_level=2 roi_max_level=3 roi_canonical_scale=8 roi_canonical_level=2}
a2 = RoIAlign(p2, f2) {spatial_scale=0.5 pooled_h=2 pooled_w=2 aligned=1}
a3 = RoIAlign(p3, f3) {spatial_scale=0.25 pooled_h=2 pooled_w=2 aligned=1}
shuffled = Concat(a2, a3) {axis=0}
pooled = BatchPermutation(shuffled, order)
)" + small_box_head(classes);
}

inline std::string small_detector() {
  return small_detector_without_outputs() + "output score box class per_image p2\n";
}

}  // namespace d2deploy::testing
