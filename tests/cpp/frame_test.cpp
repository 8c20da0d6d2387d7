// Runs of a plan: row slots, late steps, who owns the memory of outputs, and that a run allocates nothing.
#include "runtime/frame.h"

#include "core/memory.h"
#include "frame_run.h"
#include "net_run.h"
#include "small_detector.h"

namespace d2deploy::testing {
namespace {

// Boxes with a score of at least 0.5, at most ten, of those given.
const std::string kLimit =
    "input scores float32 8x2\n"
    "input boxes float32 8x8\n"
    "score, box, class = BoxWithNMSLimit(scores, boxes) {score_thresh=0.5 nms=0.9 detections_per_im=10}\n";

// The first `good` of eight boxes, which do not overlap, have a good score.
Tensors boxes(int good) {
  Tensors inputs{{"scores", Tensor::allocate(f32({8, 2}))}, {"boxes", Tensor::allocate(f32({8, 8}))}};
  for (int i = 0; i < 8; ++i) {
    float* score = inputs["scores"].data<float>() + std::ptrdiff_t{2} * i;
    score[1] = i < good ? 0.9F - 0.01F * static_cast<float>(i) : 0.1F;
    score[0] = 1.0F - score[1];
    float* box = inputs["boxes"].data<float>() + std::ptrdiff_t{8} * i;
    for (int k = 0; k < 8; ++k) box[k] = static_cast<float>(10 * i + (k % 4 < 2 ? 0 : 5));
  }
  return inputs;
}

const PlannedValue& value(const Plan& plan, const std::string& name) {
  return *std::ranges::find(plan.values, name, &PlannedValue::name);
}

bool late(const Plan& plan, const std::string& output) {
  return std::ranges::any_of(plan.steps, [&](const Step& s) {
    return s.late && std::ranges::any_of(s.outputs, [&](std::size_t v) { return plan.values[v].name == output; });
  });
}

TEST(Rows, OneSlotIsPassedOnByRowWiseSteps) {
  const auto model = model_of(kLimit +
                              "const w float32 3x4\n"
                              "const b float32 3\n"
                              "f = FC(box, w, b)\n"
                              "r = Sigmoid(f)\n"
                              "v = ExpandDims(r) {dims=[1]}\n"
                              "c = Concat(f, r) {axis=1}\n"
                              "y = Mul(score, score)\n"
                              "output v c y class\n");
  const auto frame = frame_of(*model, boxes(8));
  const Plan& plan = frame->plan();
  ASSERT_EQ(plan.rows.size(), 1U);
  EXPECT_EQ(plan.rows[0].most, 8);
  for (const char* name : {"score", "box", "class", "f", "r", "v", "c", "y"})
    EXPECT_EQ(value(plan, name).rows, 0) << name;
  for (const int good : {3, 8, 0, 1}) {
    const Tensors inputs = boxes(good);
    frame->set_inputs(inputs);
    frame->run();
    EXPECT_EQ(frame->output(0).shape(), Shape({good, 1, 3}));
    EXPECT_EQ(frame->output(1).shape(), Shape({good, 6}));
    EXPECT_EQ(frame->output(2).shape(), Shape({good}));
    EXPECT_EQ(frame->output(3).shape(), Shape({good}));
  }
}

TEST(Rows, WhatIsNotRowWiseIsSettledInTheRun) {
  const std::string text = kLimit +
                           "t = Transpose(box)\n"                        // the rows become columns
                           "two = Concat(box, box) {axis=0}\n"           // twice as many
                           "rest = Slice(box) {starts=[1] ends=[-1]}\n"  // one less
                           "p = Relu(two)\n"
                           "n = Shape(box)\n"
                           "output t two rest p n\n";
  const auto model = model_of(text);
  Session session(model);
  const auto frame = frame_of(*model, boxes(8));
  for (const char* name : {"t", "two", "rest", "p"}) EXPECT_TRUE(late(frame->plan(), name)) << name;
  EXPECT_FALSE(late(frame->plan(), "n"));
  for (const int good : {3, 8, 1}) {
    const Tensors inputs = boxes(good);
    const Tensors have = session.run(inputs);
    const Tensors want = outputs_by_evaluation(text, inputs);
    for (const char* name : {"t", "two", "rest", "p"})
      EXPECT_EQ(difference({{name, have.at(name)}}, {{name, want.at(name)}}), "") << name << ", " << good;
    EXPECT_EQ(have.at("t").shape(), Shape({4, good}));
    EXPECT_EQ(have.at("n").data<std::int64_t>()[0], good);
  }
}

TEST(Rows, PartsOfARepeatedOutputHaveSlotsOfTheirOwn) {
  const auto model = model_of(
      "input rois float32 6x5\n"
      "r2, r3, order = DistributeFpnProposals(rois) {roi_min_level=2 roi_max_level=3 roi_canonical_level=2 "
      "roi_canonical_scale=8}\n"
      "output r2 r3 order\n");
  Tensor rois = Tensor::allocate(f32({6, 5}));
  for (int i = 0; i < 6; ++i) {
    const float side = i < 2 ? 4.0F : 30.0F;
    const float row[] = {0, 0, 0, side, side};
    std::copy(row, row + 5, rois.data<float>() + std::ptrdiff_t{5} * i);
  }
  const auto frame = frame_of(*model, {{"rois", rois}});
  const Plan& plan = frame->plan();
  ASSERT_EQ(plan.rows.size(), 2U);
  EXPECT_NE(value(plan, "r2").rows, value(plan, "r3").rows);
  EXPECT_EQ(value(plan, "order").rows, -1);  // as many as rois, always
  frame->run();
  EXPECT_EQ(frame->output(0).dim(0), 2);
  EXPECT_EQ(frame->output(1).dim(0), 4);
}

TEST(Outputs, OutliveTheSessionAndItsGrowth) {
  const auto model = model_of("input x float32 1x?x?x?\ny = Sigmoid(x)\nz = Relu(y)\noutput z\n");
  Tensor kept, later;
  {
    Session session(model);
    kept = session.run({{"x", noise({1, 2, 8, 8})}}).at("z");
    const Tensor copy = kept.clone();
    later = session.run({{"x", noise({1, 4, 64, 64}, 2)}}).at("z");  // needs a larger arena
    EXPECT_TRUE(same_bits({{"z", kept}}, {{"z", copy}}));
  }
  const Tensor want = outputs_by_evaluation("input x float32 1x4x64x64\ny = Sigmoid(x)\nz = Relu(y)\noutput z\n",
                                            {{"x", noise({1, 4, 64, 64}, 2)}})
                          .at("z");
  EXPECT_EQ(difference({{"z", later}}, {{"z", want}}), "");
}

TEST(Allocations, AreCounted) {
  const AllocationCount allocations;
  const auto one = std::make_unique<int>(1);
  const auto two = allocate(100);
  EXPECT_GE(allocations.count(), 2) << *one;
}

TEST(Allocations, OfTheExampleAreNone) {
  const std::filesystem::path folder = std::filesystem::path(D2DEPLOY_EXAMPLES) / "mask_rcnn";
  const auto model = Model::load(folder / "model.pb", folder / "model_init.pb");
  expect_no_allocations(*model, {{"data", noise({1, 3, 64, 96})}, {"im_info", Tensor::of<float>({1, 3}, {64, 96, 1})}});
}

}  // namespace
}  // namespace d2deploy::testing
