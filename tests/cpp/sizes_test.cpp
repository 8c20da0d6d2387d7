// Sizes that files, arguments and inputs can make as large as they like: each is counted once, and what 64 bits cannot
// count is an error. The sanitizers watch the arithmetic.
#include <gtest/gtest.h>

#include <algorithm>

#include "case.h"
#include "kernels/scratch.h"
#include "message_of.h"
#include "operators/evaluate.h"
#include "operators/most_rows.h"

namespace d2deploy {
namespace {

constexpr std::int64_t kLarge = std::int64_t{1} << 40;

TEST(Shape, WithoutElementsCanStillBeTooLarge) {
  EXPECT_EQ(Shape({0, kLarge}).size(), 0);
  EXPECT_EQ(f32({kLarge, 0, 3}).bytes(), 0);
  EXPECT_THROW((void)Shape({0, kLarge, kLarge}).size(), InvalidModel);
  EXPECT_THROW((void)Shape({kLarge, kLarge, 0}).size(), InvalidModel);
  EXPECT_THROW((void)f32({0, kLarge, std::int64_t{1} << 22}).bytes(), InvalidModel);  // 2^62 elements, 2^64 bytes
}

TEST(RowCounts, AreCheckedOrUnknown) {
  EXPECT_EQ(times(3, 4), 12);
  EXPECT_EQ(times(kUnknown, kLarge), kUnknown);
  EXPECT_EQ(plus(kLarge, kUnknown), kUnknown);
  EXPECT_EQ(message_of<InvalidArgument>([] { (void)times(kLarge, kLarge); }),
            "the product of the sizes 1099511627776 and 1099511627776 is above 2^63");
  EXPECT_EQ(message_of<InvalidArgument>([] { (void)plus(INT64_MAX, 1); }),
            "the sum of the sizes 9223372036854775807 and 1 is above 2^63");
}

TEST(Scratch, CountsBytesOrSaysThatItCannot) {
  Scratch scratch;
  scratch.take<float>(3);
  scratch.take<double>(8);
  EXPECT_EQ(scratch.bytes(), 128U);
  EXPECT_THROW(scratch.take<float>(std::int64_t{1} << 61), InvalidArgument);
  scratch.take<std::byte>(INT64_MAX - 1024);
  EXPECT_THROW(scratch.take<std::byte>(1024), InvalidArgument);
}

// 2^24 + 1 columns are 2^24 in float32, so that a width which is doubled is not twice as many columns.
TEST(ResizeNearest, OfAWidthThatFloatsRoundStaysWithinItsOutput) {
  Tensor x = Tensor::allocate(f32({1, 1, 1, (1 << 24) + 1}));
  std::fill_n(x.data<float>(), x.size(), 1.0F);
  const Operator& op = *find_operator("ResizeNearest");
  Evaluation evaluation(op, {{"width_scale", 2.0F}}, {x});
  const TensorType type = evaluation.output_types()[0];
  EXPECT_EQ(type.shape, Shape({1, 1, 1, 1 << 25}));
  const std::int64_t size = type.shape.size();
  Tensor memory = Tensor::allocate(f32({size + 2}));
  float* y = memory.data<float>();
  y[size] = y[size + 1] = 7;
  std::vector<Tensor> outputs{Tensor::view(type, y)};
  evaluation.prepare(evaluation.portable());
  evaluation.run(outputs);
  EXPECT_EQ(y[size - 1], 1);
  EXPECT_EQ(y[size], 7);
  EXPECT_EQ(y[size + 1], 7);
}

// Inputs without elements, whose other sizes are multiplied with those of arguments and of each other.
class NothingOfMuch : public ::testing::TestWithParam<const char*> {};
TEST_P(NothingOfMuch, IsCountedOrRefused) {
  const Case c = parse_case(GetParam());
  for (const Kernel& kernel : c.op->kernels) {
    try {
      Evaluation evaluation(*c.op, c.args, c.inputs);
      if (!evaluation.reject(kernel).empty()) continue;
      std::vector<Tensor> outputs;
      for (const TensorType& type : evaluation.output_types()) outputs.push_back(Tensor::allocate(type));
      evaluation.prepare(kernel);
      evaluation.run(outputs);
      EXPECT_EQ(outputs[0].size(), 0) << kernel.name;
    } catch (const InternalError& e) {
      ADD_FAILURE() << kernel.name << ": " << e.what();
    } catch (const Error&) {
      continue;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(
    All, NothingOfMuch,
    ::testing::Values(
        "FC : 0x1152921504606846976 0x1152921504606846976 0", "MatMul : 0x1152921504606846976 1152921504606846976x0",
        "BatchMatMul : 0x64x18014398509481984 0x18014398509481984x1", "BatchMatMul broadcast=1 : 1099511627776x0x2 2x3",
        "ScatterAssign : 0x1152921504606846976 int32:16 1",
        "RoIAlign pooled_h=1024 : 1x0x288230376151711744x1 1x4~fill(0)",
        "RoIAlign pooled_h=1024 pooled_w=1024 : 1x0x4x4 1000000x4~fill(0)",
        "RoIAlignRotated pooled_h=1024 pooled_w=1024 : 1x0x4x4 1000000x5~fill(0)",
        "GenerateProposals pre_nms_topN=0 : 1024x1048576x0x1048576 1024x4194304x0x1048576 1024x3 "
        "1048576x4",
        "ReduceMean axes=[1] : 0x1099511627776x1048576", "Transpose : 0x1099511627776x1048576",
        "Add : 0x1099511627776x1048576 1", "UpsampleNearest scale=2147483647 : 0x2147483647x1x1",
        "PadImage pads=[2147483647,0,2147483647,0] : 0x1x1073741824x1",
        "ResizeNearest width_scale=1e-9 : 1x1x0x3000000000", "ResizeBilinear height_scale=1e-9 : 1x1x3000000000x0",
        "InstanceNorm : 0x1048576x1048576x1048576 1048576 1048576",
        "HeatmapMaxKeypoint : 0x1048576x1048576x1048576 0x4", "Softmax axis=2 : 0x1099511627776x1048576",
        "Concat axis=0 : 0x1152921504606846976 1x0",
        "Slice starts=[-9223372036854775808] ends=[9223372036854775807] : 0x3"));

// Windows that cover the image many thousand million times.
class HugeWindows : public ::testing::TestWithParam<const char*> {};
TEST_P(HugeWindows, LookAtTheImageAlone) {
  const Case c = parse_case(GetParam());
  for (const Kernel& kernel : c.op->kernels) {
    Evaluation evaluation(*c.op, c.args, c.inputs);
    if (!evaluation.reject(kernel).empty()) continue;
    std::vector<Tensor> outputs{Tensor::allocate(evaluation.output_types()[0])};
    evaluation.prepare(kernel);
    evaluation.run(outputs);
    EXPECT_TRUE(std::ranges::equal(outputs[0].values<float>(), c.expected[0])) << kernel.name;
  }
}
INSTANTIATE_TEST_SUITE_P(
    All, HugeWindows,
    ::testing::Values("MaxPool kernels=[1,2147483647] pads=[0,2147483646,0,2147483646] strides=[1,715827882] : "
                      "1x1x1x2=5,7 -> 5 7 7 7",
                      "MaxPool kernels=[2147483647,2147483647] pads=[2147483646,2147483646,2147483646,2147483646] "
                      "strides=[1073741823,715827882] : 1x1x1x2=5,7 -> 5 7 7 7 5 7 7 7 5 7 7 7",
                      "AveragePool kernels=[2147483647,2147483647] pads=[2147483646,2147483646,2147483646,2147483646] "
                      "strides=[1073741823,715827882] : 1x1x1x2=5,7 -> 5 6 6 6 5 6 6 6 5 6 6 6"));

}  // namespace
}  // namespace d2deploy
