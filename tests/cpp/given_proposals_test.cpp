// Proposals that come from outside: worked values, what is left out, and who may give them.
#include "detector/given_proposals.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "message_of.h"
#include "picture.h"

namespace d2deploy::testing {
namespace {

using Numbers = std::vector<float>;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST(ResizedProposals, AreScaledAndCut) {
  // Twice as high, half as wide.
  EXPECT_EQ(resized_proposals(Numbers{2, 3, 8, 5, -4, -1, 30, 99}, {10, 20}, {20, 10}),
            (Numbers{1, 6, 4, 10, 0, 0, 10, 20}));
}

TEST(ResizedProposals, ThoseWithoutAreaAreLeftOut) {
  const Numbers boxes{3, 3, 3, 9, 25, 1, 28, 4, 1, 1, kNaN, 4, 6, 6, 5, 5, 1, 2, 3, 4};
  EXPECT_EQ(resized_proposals(boxes, {10, 20}, {10, 20}), (Numbers{1, 2, 3, 4}));
}

TEST(RoisOf, RowsAreRoundedUpWithBoxesThatAreNone) {
  const Tensor rois = rois_of(Numbers{1, 2, 3, 4, 5, 6, 7, 8});
  ASSERT_EQ(rois.shape(), (Shape{256, 5}));
  const auto values = rois.values<float>();
  EXPECT_EQ(Numbers(values.begin(), values.begin() + 10), (Numbers{0, 1, 2, 3, 4, 0, 5, 6, 7, 8}));
  for (std::size_t row = 2; row < 256; ++row) {
    EXPECT_EQ(values[row * 5], 0) << row;
    for (std::size_t i = 1; i < 5; ++i) EXPECT_TRUE(std::isnan(values[row * 5 + i])) << row;
  }
  EXPECT_EQ(rois_of({}).shape(), (Shape{256, 5}));
  EXPECT_EQ(rois_of(Numbers(4 * 257, 1)).shape(), (Shape{512, 5}));
}

TEST(RoisOf, NumbersThatAreNoBoxesAreRefused) {
  EXPECT_NE(message_of<InvalidArgument>([] {
              (void)rois_of(Numbers(5, 1));
            }).find("proposals are 5 numbers, wanted x1 y1 x2 y2"),
            std::string::npos);
  EXPECT_NE(message_of<InvalidArgument>([] {
              (void)resized_proposals(Numbers(3, 1), {1, 1}, {1, 1});
            }).find("proposals are 3 numbers"),
            std::string::npos);
}

TEST(Detector, ThatFindsItsProposalsTakesNone) {
  DetectorOptions options;
  options.model.threads = 1;
  const auto detector = Detector::load(std::filesystem::path(D2DEPLOY_EXAMPLES) / "mask_rcnn", options);
  EXPECT_FALSE(detector.takes_proposals());
  const Picture picture(1, 1);
  EXPECT_NE(message_of<InvalidArgument>([&] {
              (void)detector.predict(picture.view(), Numbers{1, 2, 3, 4});
            }).find("the model finds its proposals itself, and takes none"),
            std::string::npos);
}

}  // namespace
}  // namespace d2deploy::testing
