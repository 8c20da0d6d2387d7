// Keypoints: worked values, then every pixel of the resized maps in float64.
#include "detector/keypoints.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "d2deploy/error.h"
#include "message_of.h"

namespace d2deploy {
namespace {

using Box = std::array<float, 4>;
constexpr Size kPicture{480, 640};

Detections found_in(const std::vector<Box>& boxes) {
  Detections found;
  for (const Box& box : boxes) {
    found.rows.push_back(found.count());
    found.boxes.insert(found.boxes.end(), box.begin(), box.end());
    found.scores.push_back(1);
    found.classes.push_back(0);
  }
  return found;
}

Keypoint keypoint_of(const std::vector<float>& map, std::int64_t side, const Box& box, const Size& picture = kPicture) {
  return keypoints_of_maps(Tensor::of<float>({1, 1, side, side}, map), found_in({box}), picture).at(0);
}

TEST(Keypoints, MapOfTheSizeOfItsBoxIsNotResized) {
  const std::vector<float> map{0, 0, 0,  //
                               0, 0, 2,  //
                               0, 1, 0};
  const Keypoint k = keypoint_of(map, 3, {10, 20, 13, 23});
  EXPECT_EQ(k.x, 12.5F);
  EXPECT_EQ(k.y, 21.5F);
  EXPECT_EQ(k.logit, 2.0F);
  EXPECT_FLOAT_EQ(k.probability, static_cast<float>(std::exp(2.0) / (7 + std::exp(1.0) + std::exp(2.0))));
}

TEST(Keypoints, FirstOfEqualPixelsIsTaken) {
  const std::vector<float> map{0, 0, 3,  //
                               3, 0, 0,  //
                               0, 3, 0};
  const Keypoint k = keypoint_of(map, 3, {0, 0, 3, 3});
  EXPECT_EQ(k.x, 2.5F);
  EXPECT_EQ(k.y, 0.5F);
  EXPECT_FLOAT_EQ(k.probability, static_cast<float>(std::exp(3.0) / (6 + 3 * std::exp(3.0))));
}

TEST(Keypoints, SidesCountAsOnePixelAtLeast) {
  const Keypoint k = keypoint_of({1, 1, 1, 1}, 2, {5, 6, 5, 6.25F});
  EXPECT_EQ(k.x, 5.5F);
  EXPECT_EQ(k.y, 6.5F);
  EXPECT_FLOAT_EQ(k.logit, 1);
  EXPECT_FLOAT_EQ(k.probability, 0.25F);
}

// 3.5 pixels are resized to 4, and places scaled back: the first of 4 is at (0 + 0.5) * 3.5 / 4.
TEST(Keypoints, BrokenSidesAreRoundedUp) {
  const Keypoint k = keypoint_of({1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 4, {2, 3, 5.5F, 7});
  EXPECT_FLOAT_EQ(k.x, 2 + 0.5F * 3.5F / 4);
  EXPECT_FLOAT_EQ(k.y, 3.5F);
}

// The definition: a value of the cubic convolution with a = -0.75 at a pixel, from all cells.
double value_at(const float* map, std::int64_t side, std::array<std::int64_t, 2> size,
                std::array<std::int64_t, 2> pixel) {
  const auto weight = [](double x) {
    x = std::fabs(x);
    if (x <= 1) return 1.25 * x * x * x - 2.25 * x * x + 1;
    return x < 2 ? -0.75 * (x * x * x - 5 * x * x + 8 * x - 4) : 0.0;
  };
  std::array<double, 2> u{};
  for (std::size_t i = 0; i < 2; ++i)
    u[i] = (static_cast<double>(pixel[i]) + 0.5) * static_cast<double>(side) / static_cast<double>(size[i]) - 0.5;
  double sum = 0;
  const auto top = static_cast<std::int64_t>(std::floor(u[0])), left = static_cast<std::int64_t>(std::floor(u[1]));
  for (std::int64_t i = top - 1; i < top + 3; ++i)
    for (std::int64_t j = left - 1; j < left + 3; ++j) {
      const std::int64_t row = std::clamp<std::int64_t>(i, 0, side - 1),
                         column = std::clamp<std::int64_t>(j, 0, side - 1);
      sum += weight(u[0] - static_cast<double>(i)) * weight(u[1] - static_cast<double>(j)) *
             static_cast<double>(map[row * side + column]);
    }
  return sum;
}

TEST(Keypoints, AreAtTheHighestPixel) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> unit(0, 1);
  for (int round = 0; round < 60; ++round) {
    const std::int64_t side = 1 + round % 14, count = 2, kinds = 3;
    std::vector<float> maps(count * kinds * side * side);
    for (float& v : maps) v = normal(random) * (round % 2 == 0 ? 1 : 8);
    std::vector<Box> boxes;
    for (int i = 0; i < count; ++i) {
      const float x = 30 * unit(random), y = 30 * unit(random);
      boxes.push_back({x, y, x + 60 * unit(random), y + 60 * unit(random)});
    }
    const auto keypoints =
        keypoints_of_maps(Tensor::of<float>({count, kinds, side, side}, maps), found_in(boxes), kPicture);
    ASSERT_EQ(keypoints.size(), 6U);
    for (std::int64_t i = 0; i < count * kinds; ++i) {
      const Box& box = boxes[i / kinds];
      const float* map = maps.data() + i * side * side;
      const float w = std::max(box[2] - box[0], 1.0F), h = std::max(box[3] - box[1], 1.0F);
      const std::array<std::int64_t, 2> size{static_cast<std::int64_t>(std::ceil(h)),
                                             static_cast<std::int64_t>(std::ceil(w))};
      double most = -1e9, sum = 0;
      for (std::int64_t y = 0; y < size[0]; ++y)
        for (std::int64_t x = 0; x < size[1]; ++x) most = std::max(most, value_at(map, side, size, {y, x}));
      for (std::int64_t k = 0; k < side * side; ++k) sum += std::exp(static_cast<double>(map[k]) - most);
      const Keypoint& got = keypoints[i];
      // Of places whose values are as good as equal it may be any.
      const auto row = std::lround((got.y - box[1]) * static_cast<float>(size[0]) / h - 0.5F);
      const auto column = std::lround((got.x - box[0]) * static_cast<float>(size[1]) / w - 0.5F);
      EXPECT_NEAR(value_at(map, side, size, {row, column}), most, 2e-5) << "round " << round;
      EXPECT_NEAR(got.logit, most, 2e-5) << "round " << round;
      EXPECT_NEAR(got.probability * sum, 1, 1e-4) << "round " << round;
    }
  }
}

// A peak between flat cells, far from the corner where the search begins.
TEST(Keypoints, LonelyPeakIsFoundInALargeBox) {
  constexpr std::int64_t kSide = 56;
  std::vector<float> map(kSide * kSide, -3.0F);
  map[40 * kSide + 17] = 4;
  const Keypoint k = keypoint_of(map, kSide, {0, 0, 560, 448});
  EXPECT_NEAR(k.x, 17.5F * 10, 1);
  EXPECT_NEAR(k.y, 40.5F * 8, 1);
  EXPECT_NEAR(k.logit, 4, 0.1);
}

TEST(Keypoints, BoxesLargerThanThePictureAreSampledAsOftenAsItHasPixels) {
  const std::vector<float> map{0, 0, 0, 1};
  const Keypoint k = keypoint_of(map, 2, {0, 0, 1e30F, 1e9F}, {2, 2});
  EXPECT_FLOAT_EQ(k.x, 0.75e30F);
  EXPECT_FLOAT_EQ(k.y, 0.75e9F);
  EXPECT_EQ(k.logit, 1.0F);
}

TEST(Keypoints, ValuesThatAreNotNumbersAreTheHighest) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Keypoint k = keypoint_of({9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, nan}, 4, {0, 0, 4, 4});
  EXPECT_TRUE(std::isnan(k.logit));
  EXPECT_TRUE(std::isnan(k.probability));
  // Weights of 0 carry it to the pixels whose sixteen cells have it: from row and column 1 on.
  EXPECT_EQ(k.x, 1.5F);
  EXPECT_EQ(k.y, 1.5F);
}

TEST(Keypoints, RowsOfDetectionsTellWhichMaps) {
  std::vector<float> maps(3 * 4, 0.0F);
  for (int row = 0; row < 3; ++row) maps[row * 4 + row] = static_cast<float>(row + 1);
  Detections found = found_in({{0, 0, 2, 2}, {0, 0, 2, 2}});
  found.rows = {2, 0};
  const auto keypoints = keypoints_of_maps(Tensor::of<float>({3, 1, 2, 2}, maps), found, kPicture);
  EXPECT_EQ(keypoints.at(0).logit, 3.0F);
  EXPECT_EQ(keypoints.at(0).y, 1.5F);
  EXPECT_EQ(keypoints.at(1).logit, 1.0F);
  EXPECT_TRUE(keypoints_of_maps(Tensor::allocate({DType::float32, {0, 17, 56, 56}, {}}), {}, kPicture).empty());
}

TEST(Keypoints, ComputedByTheNet) {
  const Tensor rows = Tensor::of<float>({2, 4, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18});
  Detections found = found_in({{0, 0, 1, 1}});
  found.rows = {1};
  const auto keypoints = keypoints_of_rows(rows, found);
  ASSERT_EQ(keypoints.size(), 2U);
  EXPECT_EQ(keypoints[1].x, 12.0F);
  EXPECT_EQ(keypoints[1].y, 14.0F);
  EXPECT_EQ(keypoints[1].logit, 16.0F);
  EXPECT_EQ(keypoints[1].probability, 18.0F);
}

TEST(Keypoints, AreScaledAndNotClipped) {
  const std::vector<Keypoint> all{{1, 1, 1, 1}, {2, 2, 2, 2}, {-3, 50, 3, 0.5F}, {4, 4, 4, 4}};
  const std::vector<std::int64_t> kept{1};
  const auto scaled = scaled_keypoints(all, 2, kept, {10, 20}, {20, 10});
  ASSERT_EQ(scaled.size(), 2U);
  EXPECT_EQ(scaled[0].x, -1.5F);
  EXPECT_EQ(scaled[0].y, 100.0F);
  EXPECT_EQ(scaled[0].logit, 3.0F);
  EXPECT_EQ(scaled[0].probability, 0.5F);
}

TEST(Keypoints, RefuseShapesThatDoNotFit) {
  const auto refusal = [](const Shape& shape, const Detections& found) {
    return message_of<InvalidModel>([&] {
      (void)keypoints_of_maps(Tensor::allocate({DType::float32, shape, {}}), found, kPicture);
    });
  };
  const Detections one = found_in({{0, 0, 1, 1}});
  EXPECT_NE(refusal({0, 17, 56, 56}, one).find("4 dimensions and 1 rows or more, got (0, 17, 56, 56)"),
            std::string::npos);
  EXPECT_NE(refusal({1, 17, 0, 56}, one).find("must not be empty"), std::string::npos);
  Detections rotated = one;
  rotated.columns = 5;
  EXPECT_NE(refusal({1, 17, 56, 56}, rotated).find("need upright boxes"), std::string::npos);
  EXPECT_NE(message_of<InvalidModel>([&] {
              (void)keypoints_of_rows(Tensor::allocate({DType::float32, {1, 3, 17}, {}}), one);
            }).find("must be (n, 4, kinds), got (1, 3, 17)"),
            std::string::npos);
}

}  // namespace
}  // namespace d2deploy
