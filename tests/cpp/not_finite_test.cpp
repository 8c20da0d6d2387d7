// Nets whose weights, pictures or box deltas hold NaN or infinity run to their end, and find what is not touched by it.
#include <algorithm>
#include <cmath>

#include "net_run.h"
#include "small_detector.h"

namespace d2deploy::testing {
namespace {

constexpr std::int64_t kImages = 2, kHeight = 20, kWidth = 24;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Tensors pictures() {
  const Tensor im_info = Tensor::of<float>({kImages, 3}, {40, 48, 1, 38, 45, 1.25F});
  return {{"data", noise({kImages, 2, kHeight, kWidth}, 7)}, {"im_info", im_info}};
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  EXPECT_EQ(text.find(from, at + 1), std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

// A detector with a mask head, which pools the boxes that were found.
std::string detector() {
  return small_detector_without_outputs() +
         R"(g2, g3, back = DistributeFpnProposals(box) {roi_min_level=2 roi_max_level=3 roi_canonical_scale=8 roi_canonical_level=2}
m2 = RoIAlign(p2, g2) {spatial_scale=0.5 pooled_h=2 pooled_w=2 aligned=1}
m3 = RoIAlign(p3, g3) {spatial_scale=0.25 pooled_h=2 pooled_w=2 aligned=1}
m = Concat(m2, m3) {axis=0}
mask = BatchPermutation(m, back)
output score box class per_image keeps splits mask
)";
}

// All classes of all rows score about the same.
std::string evenly_scored(const std::string& text) {
  return replaced(text, "prob = Softmax(logits)\n",
                  "const little float32 1 = 0.0001\nsoft = Mul(logits, little)\nprob = Softmax(soft)\n");
}

// The deltas of some rows become NaN: 0 / 0 where the ReLU of a feature is 0, and else 1.
std::string poisoned(const std::string& text) {
  const std::string layer = weights("wz", "1x6", 6) + "const bz float32 1 = -1.5\n" +
                            "plain = FC(hr, wb, bb)\nz = FC(hr, wz, bz)\nzr = Relu(z)\npoison = Div(zr, zr)\n"
                            "deltas = Mul(plain, poison)\n";
  return replaced(replaced(text, "deltas = FC(hr, wb, bb)\n", layer), "splits mask\n", "splits mask poison\n");
}

// Nothing is suppressed, and everything given.
std::string without_limits(const std::string& text) {
  return replaced(text, "nms=0.5 detections_per_im=7", "nms=1.0 detections_per_im=0");
}
std::string in_detectron2_order(const std::string& text) {
  return replaced(text, "score_thresh=0.0", "score_thresh=0.0 detectron2_order=1");
}

std::int64_t not_finite(const Tensor& t) {
  return std::ranges::count_if(t.values<float>(), [](float v) { return !std::isfinite(v); });
}

Tensors run(const std::string& text, const Tensors& inputs = pictures()) {
  Session session(model_of(text));
  return cloned(session.run(inputs));
}

TEST(NotFinite, AnchorsAreDroppedAndTheOthersFound) {
  const std::string text = detector();
  const Tensors found = run(replaced(text, "-4 -8 4 8\n", "nan -8 4 8\n"));
  EXPECT_GT(found.at("score").dim(0), kImages);
  for (const char* name : {"score", "box", "mask"}) EXPECT_EQ(not_finite(found.at(name)), 0) << name;
}

TEST(NotFinite, PictureLeavesTheOtherAsItIs) {
  Tensors inputs = cloned(pictures());
  const std::string text = detector();
  const Tensors clean = run(text, inputs);
  std::fill_n(inputs.at("data").data<float>(), 2 * kHeight * kWidth, kNan);
  const Tensors found = run(text, inputs);
  const auto n = static_cast<std::int64_t>(found.at("per_image").data<float>()[1]);
  EXPECT_EQ(clean.at("per_image").data<float>()[1], static_cast<float>(n));
  ASSERT_GT(n, 0);
  for (const char* name : {"score", "box", "class", "mask"}) {
    const auto last = [&](const Tensor& t) {
      const std::int64_t count = n * t.shape().size(1, t.shape().rank());
      return std::span(t.data<float>() + t.size() - count, static_cast<std::size_t>(count));
    };
    EXPECT_TRUE(std::ranges::equal(last(found.at(name)), last(clean.at(name)))) << name;
  }
}

// As in Caffe2, a box that is NaN and scores best drops the others of its class: here one of class 1 in each image.
// What is pooled for it is defined all the same.
TEST(NotFinite, BoxesOfOneClassLeaveTheOthers) {
  const std::string bias = weights("bb", "8", 8), text = evenly_scored(detector());
  const Tensors found = run(replaced(text, bias, bias.substr(0, bias.rfind(' ')) + " nan\n"));
  const auto classes = found.at("class").values<float>();
  EXPECT_EQ(std::ranges::count(classes, 1.0F), kImages);
  EXPECT_GT(std::ranges::count(classes, 0.0F), kImages);
  EXPECT_EQ(not_finite(found.at("box")), 2 * kImages);  // y1 and y2
  EXPECT_EQ(not_finite(found.at("mask")), 0);
}

TEST(NotFinite, RowsAreDroppedInDetectron2OrderAndTheOthersFound) {
  const std::string text = in_detectron2_order(without_limits(evenly_scored(detector())));
  const Tensors clean = run(text), found = run(poisoned(text));
  const auto poison = found.at("poison").values<float>();
  ASSERT_GT(not_finite(found.at("poison")), 0);
  EXPECT_EQ(not_finite(found.at("box")), 0);
  // Those of the clean net, without the rows of NaN. `keeps` counts rows within their image.
  std::vector<float> want;
  for (std::int64_t image = 0, at = 0, first = 0; image < kImages; ++image) {
    const auto end = at + static_cast<std::int64_t>(clean.at("per_image").data<float>()[image]);
    for (; at < end; ++at)
      if (std::isfinite(poison[static_cast<std::size_t>(first + clean.at("keeps").data<std::int32_t>()[at])]))
        want.push_back(clean.at("score").data<float>()[at]);
    first += static_cast<std::int64_t>(clean.at("splits").data<float>()[image]);
  }
  ASSERT_GT(want.size(), 2U);
  EXPECT_LT(want.size(), static_cast<std::size_t>(clean.at("score").size()));
  EXPECT_TRUE(std::ranges::equal(found.at("score").values<float>(), want));
}

}  // namespace
}  // namespace d2deploy::testing
