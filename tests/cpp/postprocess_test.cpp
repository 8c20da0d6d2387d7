// From rows of outputs to detections, and from the net's input to the wanted picture.
#include "detector/postprocess.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "d2deploy/error.h"
#include "message_of.h"

namespace d2deploy {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

using Rows = std::vector<std::int64_t>;

struct Outputs {
  Tensor boxes = Tensor::of<float>({6, 4}, {0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, kInf, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6});
  Tensor scores = Tensor::of<float>({6}, {0.5F, 0.9F, 0.8F, 0.9F, kNaN, 0.1F});
  Tensor classes = Tensor::of<float>({6}, {3, 1, 1, 2, 0, kInf});
};

TEST(CollectDetections, InTheOrderThatIsAskedFor) {
  const Outputs out;
  const Detections file = collect_detections(out.boxes, out.scores, out.classes, {0, 6}, RowOrder::file);
  EXPECT_EQ(file.rows, (Rows{0, 1, 3}));  // all others have something that is not finite
  EXPECT_EQ(file.classes, (Rows{3, 1, 2}));
  const Detections score = collect_detections(out.boxes, out.scores, out.classes, {0, 6}, RowOrder::score);
  EXPECT_EQ(score.rows, (Rows{1, 3, 0}));
  EXPECT_EQ(score.classes, (Rows{1, 2, 3}));
  EXPECT_EQ(score.scores, (std::vector<float>{0.9F, 0.9F, 0.5F}));
  EXPECT_EQ(score.boxes, (std::vector<float>{1, 1, 2, 2, 3, 3, 4, 4, 0, 0, 1, 1}));
  const Detections part = collect_detections(out.boxes, out.scores, out.classes, {2, 4}, RowOrder::score);
  EXPECT_EQ(part.rows, (Rows{3}));
}

TEST(CollectDetections, RefusesOutputsThatDoNotAgree) {
  const Outputs out;
  const auto refusal = [](const Tensor& boxes, const Tensor& scores, const Tensor& classes) {
    return message_of<InvalidModel>([&] { (void)collect_detections(boxes, scores, classes, {0, 6}, RowOrder::file); });
  };
  const auto zeros = [](const Shape& shape) { return Tensor::allocate({DType::float32, shape, {}}); };
  EXPECT_NE(refusal(zeros({6, 3}), out.scores, out.classes).find("4 or 5 columns, got (6, 3)"), std::string::npos);
  EXPECT_NE(refusal(out.boxes, zeros({5}), out.classes).find("'scores' must have 1 dimensions and 6 rows"),
            std::string::npos);
  EXPECT_NE(refusal(out.boxes, out.scores, zeros({6, 1})).find("'classes' must have 1 dimensions"), std::string::npos);
  EXPECT_NE(refusal(Tensor::allocate({DType::int32, {6, 4}, {}}), out.scores, out.classes).find("must be float32"),
            std::string::npos);
  for (const float label : {-1.0F, 1e9F})
    EXPECT_NE(refusal(out.boxes, out.scores, Tensor::of<float>({6}, {label, 0, 0, 0, 0, 0})).find("row 0"),
              std::string::npos);
}

TEST(CollectProposals, ThoseOfOneImage) {
  const Tensor rois = Tensor::of<float>({4, 5}, {0, 1, 1, 2, 2, 1, 3, 3, 4, 4, 1, 5, 5, 6, 6, 1, kNaN, 0, 1, 1});
  const Tensor scores = Tensor::of<float>({4}, {1, -2, -1, 5});
  const Detections found = collect_proposals(rois, scores, 1, RowOrder::score);
  EXPECT_EQ(found.columns, 4);
  EXPECT_EQ(found.rows, (Rows{2, 1}));
  EXPECT_EQ(found.boxes, (std::vector<float>{5, 5, 6, 6, 3, 3, 4, 4}));
  EXPECT_TRUE(found.classes.empty());
  EXPECT_EQ(collect_proposals(rois, scores, 1, RowOrder::file).rows, (Rows{1, 2}));
  EXPECT_EQ(collect_proposals(Tensor::allocate({DType::float32, {0, 6}, {}}), scores, 0, RowOrder::file).columns, 5);
  EXPECT_NE(message_of<InvalidModel>([&] {
              (void)collect_proposals(Tensor::allocate({DType::float32, {4, 4}, {}}), scores, 0, RowOrder::file);
            }).find("5 or 6 columns"),
            std::string::npos);
}

TEST(MasksOf, EachDetectionHasItsOwnClass) {
  std::vector<float> values(3 * 2 * 4);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  Detections found;
  found.scores = {1, 1};
  found.classes = {1, 0};
  found.rows = {2, 1};
  const Tensor own = masks_of(Tensor::of<float>({3, 2, 2, 2}, values), found);
  EXPECT_EQ(own.shape(), (Shape{2, 2, 2}));
  const auto got = own.values<float>();
  EXPECT_EQ(std::vector<float>(got.begin(), got.end()), (std::vector<float>{20, 21, 22, 23, 8, 9, 10, 11}));
  const Tensor agnostic = masks_of(Tensor::of<float>({6, 1, 2, 2}, values), found);
  EXPECT_EQ(agnostic.values<float>()[0], 8);
  const auto refusal = [&](const Shape& shape) {
    return message_of<InvalidModel>([&] { (void)masks_of(Tensor::allocate({DType::float32, shape, {}}), found); });
  };
  EXPECT_NE(refusal({3, 2, 2, 3}).find("must be (n, classes or 1, side, side), got (3, 2, 2, 3)"), std::string::npos);
  EXPECT_NE(refusal({2, 2, 2, 2}).find("3 rows or more"), std::string::npos);
  found.classes = {2, 0};
  EXPECT_NE(refusal({3, 2, 2, 2}).find("a detection is of class 2, but there are masks of 2 classes"),
            std::string::npos);
}

Detections of_boxes(std::int64_t columns, const std::vector<float>& boxes) {
  Detections found;
  found.columns = columns;
  found.boxes = boxes;
  found.scores.resize(boxes.size() / static_cast<std::size_t>(columns));
  for (std::int64_t i = 0; i < found.count(); ++i) found.rows.push_back(i + 10);
  return found;
}

TEST(ScaleAndClip, UprightBoxes) {
  Detections found = of_boxes(4, {1,  2,    3,   4,  //
                                  -5, -5,   100, 7,  //
                                  20, 0,    25,  5,  // beside the picture
                                  3,  3,    3,   8,  // no width
                                  5,  6,    4,   8,  // ends before it begins
                                  0,  9.5F, 1,   30});
  EXPECT_EQ(scale_and_clip(found, {10, 20}, {20, 10}), (Rows{0, 1, 5}));
  EXPECT_EQ(found.boxes, (std::vector<float>{0.5F, 4, 1.5F, 8, 0, 0, 10, 14, 0, 19, 0.5F, 20}));
  EXPECT_EQ(found.rows, (Rows{10, 11, 15}));
  EXPECT_EQ(found.count(), 3);
}

TEST(ScaleAndClip, HugeBoxesStayFinite) {
  constexpr float kMax = std::numeric_limits<float>::max();
  Detections found = of_boxes(4, {-kMax, -kMax, kMax, kMax});
  EXPECT_EQ(scale_and_clip(found, {10, 10}, {100, 50}), (Rows{0}));
  EXPECT_EQ(found.boxes, (std::vector<float>{0, 0, 50, 100}));
}

void expect_box(const Detections& found, std::int64_t i, const std::array<float, 5>& want) {
  for (std::size_t k = 0; k < 5; ++k) EXPECT_NEAR(found.box(i)[k], want[k], 2e-4) << "box " << i << " number " << k;
}

TEST(ScaleAndClip, RotatedBoxes) {
  Detections found = of_boxes(5, {10,  20, 6,  4, 0,     // upright: like any other
                                  10,  20, 6,  4, 90,    // a quarter turn: its width is along y
                                  10,  20, 6,  4, 30,    //
                                  50,  50, 6,  0, 10,    // no height
                                  95,  50, 20, 4, 0.5F,  // near enough to upright to be clipped
                                  95,  50, 20, 4, 20,    // and not
                                  -30, 50, 20, 4, 359.5F});
  EXPECT_EQ(scale_and_clip(found, {100, 100}, {300, 200}), (Rows{0, 1, 2, 4, 5}));
  expect_box(found, 0, {20, 60, 12, 12, 0});
  expect_box(found, 1, {20, 60, 18, 8, 90});
  const float c = std::sqrt(0.75F), s = 0.5F;
  const float degrees = 180 / 3.14159265F;
  expect_box(found, 2,
             {20, 60, 6 * std::hypot(2 * c, 3 * s), 4 * std::hypot(2 * s, 3 * c), std::atan2(2 * s, 3 * c) * degrees});
  const float turn = 0.5F / degrees;
  const float left = 190 - 20 * std::hypot(2 * std::cos(turn), 3 * std::sin(turn)) / 2;
  expect_box(found, 3,
             {(left + 200) / 2, 150, 200 - left, 4 * std::hypot(2 * std::sin(turn), 3 * std::cos(turn)),
              std::atan2(2 * std::sin(turn), 3 * std::cos(turn)) * degrees});
  EXPECT_NEAR(found.box(4)[0], 190, 1e-3);  // the centre of one that is not clipped stays
}

// The corners of a rotated box that is scaled by one factor are its scaled corners.
TEST(ScaleAndClip, EqualFactorsKeepRotatedRectangles) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> place(40, 60), side(1, 20), angle(-700, 700);
  for (int round = 0; round < 100; ++round) {
    const std::vector<float> before{place(random), place(random), side(random), side(random), angle(random)};
    Detections found = of_boxes(5, before);
    ASSERT_EQ(scale_and_clip(found, {100, 100}, {250, 250}).size(), 1U);
    const auto corner = [](std::span<const float> b) {
      const double t = static_cast<double>(b[4]) * M_PI / 180, w = static_cast<double>(b[2]) / 2,
                   h = static_cast<double>(b[3]) / 2;
      return std::array{static_cast<double>(b[0]) + w * std::cos(t) + h * std::sin(t),
                        static_cast<double>(b[1]) - w * std::sin(t) + h * std::cos(t)};
    };
    const auto want = corner(before), got = corner(found.box(0));
    EXPECT_NEAR(got[0], 2.5 * want[0], 1e-3) << "round " << round;
    EXPECT_NEAR(got[1], 2.5 * want[1], 1e-3) << "round " << round;
    EXPECT_GE(found.box(0)[4], -180) << "round " << round;
    EXPECT_LT(found.box(0)[4], 180) << "round " << round;
  }
}

}  // namespace
}  // namespace d2deploy
