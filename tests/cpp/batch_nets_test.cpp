// Small nets of every kind that Detectron2 exports, on three images at once: each gets, bit for bit, what it gets
// alone.
#include <gtest/gtest.h>

#include "frame_run.h"
#include "small_nets.h"

namespace d2deploy::testing {
namespace {

class SmallNets : public ::testing::TestWithParam<SmallNet> {};

TEST_P(SmallNets, GiveEachImageWhatItGetsAlone) {
  const SmallNet& net = GetParam();
  const Tensors inputs = pictures();
  Session session(model_of(net.text));
  Tensors together = cloned(session.run(inputs));
  together.erase("batch_splits");
  const bool detects = together.contains("per_image");
  std::int64_t first = 0;
  for (std::int64_t i = 0; i < kImages; ++i) {
    const Tensors alone = cloned(session.run(image(inputs, i)));
    const auto count = detects ? alone.at("score").dim(0) : 0;
    Tensors have;
    for (const auto& [name, t] : together)
      have[name] = net.of_images.contains(name) ? rows(t, i, 1) : rows(t, first, count);
    EXPECT_TRUE(same_bits(have, alone)) << "image " << i << ": " << difference(have, alone);
    first += count;
  }
  if (!detects) return;
  EXPECT_EQ(together.at("score").dim(0), first);
  EXPECT_GT(first, kImages) << "too little is found to compare";
}

TEST_P(SmallNets, AllocateNothingInARun) { expect_no_allocations(*model_of(GetParam().text), pictures()); }

TEST_P(SmallNets, HaveProperShapes) {
  const SmallNet& net = GetParam();
  const Graph graph = parse_graph(net.text);
  if (!graph.constants.contains("bc")) return;  // no detections
  const auto classes = graph.constants.at("bc").dim(0) - 1;
  Session session(model_of(net.text));
  const Tensors found = session.run(pictures());
  const auto n = found.at("score").dim(0);
  EXPECT_EQ(found.at("box").shape(), Shape({n, 4}));
  ASSERT_EQ(found.at("class").shape(), Shape({n}));
  for (const float c : found.at("class").values<float>()) EXPECT_TRUE(c >= 0 && c < static_cast<float>(classes)) << c;
  if (found.contains("mask")) {
    EXPECT_EQ(found.at("mask").shape(), Shape({n, net.mask_channels, 8, 8}));
  }
  if (found.contains("kps")) {
    EXPECT_EQ(found.at("kps").shape(), Shape({n, 3, 16, 16}));
  }
  if (found.contains("sem")) {
    EXPECT_EQ(found.at("sem").shape(), Shape({kImages, 32, 2 * kHeight, 2 * kWidth}));
  }
}

// oneDNN adds up in another order here when it is given several images at once.
TEST(BatchOfImages, TransposedConvolution) {
  const std::string text = "input data float32 ?x32x?x?\n" + weights("w", "32x32x4x4", 16384) +
                           "y = ConvTranspose(data, w) {kernels=[4,4] strides=[2,2] pads=[1,1,1,1]}\noutput y\n";
  const Tensors inputs = {{"data", noise({kImages, 32, 12, 16})}};
  Session session(model_of(text));
  const Tensors together = cloned(session.run(inputs));
  for (std::int64_t i = 0; i < kImages; ++i)
    EXPECT_TRUE(same_bits({{"y", rows(together.at("y"), i, 1)}}, session.run(image(inputs, i)))) << "image " << i;
}

INSTANTIATE_TEST_SUITE_P(All, SmallNets, ::testing::ValuesIn(small_nets()),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace d2deploy::testing
