// How many proposals a net is planned for, and what its profile says once they are counted.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "operators/operator.h"
#include "runtime/model.h"

using namespace d2deploy;

namespace {

constexpr auto U = kUnknown;

// Rows that PyramidProposals infers for two levels of three anchors each, maps of 8 x 8 and 4 x 4 cells.
std::int64_t rows(const std::string& args, std::int64_t images, std::int64_t height = 8, std::int64_t known = 4) {
  const Operator& op = *find_operator("PyramidProposals");
  const auto params = op.parse(parse_args("spatial_scales=[0.25,0.125] rpn_max_level=3 " + args));
  const Types inputs{f32({images, 3}),
                     f32({images, 3, height, 8}),
                     f32({images, 3, known, 4}),
                     f32({images, 12, height, 8}),
                     f32({images, 12, known, 4}),
                     f32({3, 4}),
                     f32({3, 4})};
  return infer(op, params, {inputs, {}}, 1)[0].shape[0];
}

TEST(PyramidProposals, InfersTheSmallestOfAllLimitsTimesTheImages) {
  EXPECT_EQ(rows("", 1), 192 + 48);
  EXPECT_EQ(rows("post_nms_topN=100", 1), 100 + 48);
  EXPECT_EQ(rows("pre_nms_topN=30", 1), 30 + 30);
  EXPECT_EQ(rows("rpn_post_nms_topN=50", 1), 50);
  EXPECT_EQ(rows("rpn_post_nms_topN=50", 3), 150);
  EXPECT_EQ(rows("pre_nms_topN=0 post_nms_topN=0 rpn_post_nms_topN=0", 3), 3 * (192 + 48));
}

TEST(PyramidProposals, InfersWithSizesThatAreNotKnownYet) {
  EXPECT_EQ(rows("rpn_post_nms_topN=50", U), U);
  EXPECT_EQ(rows("", 1, U), U);
  EXPECT_EQ(rows("", 1, 8, U), U);
}

TEST(PyramidProposals, OfMoreThanCanBeCountedAreAnError) {
  constexpr std::int64_t kLarge = std::int64_t{1} << 40;
  EXPECT_THROW((void)rows("pre_nms_topN=0 post_nms_topN=0", kLarge, kLarge), Error);
}

// A small trained Mask R-CNN with a feature pyramid of five levels, and at most 1000 proposals per image.
std::shared_ptr<const Model> example() {
  const std::filesystem::path folder = D2DEPLOY_EXAMPLES;
  return Model::load(folder / "mask_rcnn" / "model.pb", folder / "mask_rcnn" / "model_init.pb");
}

Tensors noise(std::int64_t images, std::int64_t side, std::uint32_t seed) {
  Tensor data = Tensor::allocate(f32({images, 3, side, side}));
  for (std::int64_t i = 0; i < data.size(); ++i) {
    seed = seed * 1664525U + 1013904223U;  // Numerical Recipes' generator
    data.data<float>()[i] = static_cast<float>(seed >> 24);
  }
  Tensor info = Tensor::allocate(f32({images, 3}));
  for (std::int64_t i = 0; i < images; ++i) {
    info.data<float>()[i * 3] = info.data<float>()[i * 3 + 1] = static_cast<float>(side);
    info.data<float>()[i * 3 + 2] = 1;
  }
  return {{"data", data}, {"im_info", info}};
}

TEST(PyramidProposals, BoundTheRowsOfAllThatFollows) {
  const auto model = example();
  for (const std::int64_t images : {1, 2}) {
    const Tensors inputs = noise(images, 256, 1);
    const auto plan =
        impl_of(*model).plan({{"data", inputs.at("data").type()}, {"im_info", inputs.at("im_info").type()}});
    const auto of_proposals = [](const Step& s) { return s.op->type == "PyramidProposals" || s.op->type == "Softmax"; };
    EXPECT_EQ(std::ranges::count_if(plan->steps, of_proposals), 2);
    for (const Step& step : plan->steps) {
      if (!of_proposals(step)) continue;
      EXPECT_EQ(plan->values[step.outputs[0]].type.shape[0], images * 1000) << step.label;
    }
  }
}

TEST(Profile, CountsTheRowsOfTheRunAndNotThoseOfThePlan) {
  Session session(example());
  session.set_profiling(true);
  for (const std::int64_t side : {32, 64}) {
    session.run(noise(1, side, 7));
    const auto nodes = session.profile();
    const auto softmax = std::ranges::find(nodes, "Softmax", &NodeProfile::type);
    ASSERT_NE(softmax, nodes.end());
    std::int64_t n = 0, classes = 0;
    ASSERT_EQ(std::sscanf(softmax->shape.c_str(), "(%ld, %ld)", &n, &classes), 2) << softmax->shape;
    EXPECT_GT(n, 0);
    EXPECT_LT(n, side == 64 ? 1000 : 258);  // what is planned: the limit, or all anchors
    EXPECT_EQ(softmax->bytes, static_cast<double>(2 * n * classes) * sizeof(float));
    const auto fc = std::ranges::find(nodes, "FC", &NodeProfile::type);
    ASSERT_NE(fc, nodes.end());
    std::int64_t columns = 0;
    ASSERT_EQ(std::sscanf(fc->shape.c_str(), "(%ld, %ld)", &n, &columns), 2) << fc->shape;
    constexpr std::int64_t kHidden = 256;  // of the example's box head
    EXPECT_EQ(fc->flops, static_cast<double>(2 * n * columns * kHidden));
  }
}

}  // namespace
