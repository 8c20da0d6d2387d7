// Known bugs of runtimes for such files, Caffe2 and others, one line each, and what happens here instead. What a
// single operator may be asked is in the first table, what a file may hold in the second.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "case.h"
#include "net_builder.h"
#include "operators/evaluate.h"
#include "runtime/model.h"

namespace d2deploy::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// ---- Operators -------------------------------------------------------------------------------------

struct OperatorBug {
  const char* bug;   // what goes wrong elsewhere
  const char* line;  // the call, in the language of case.h, with the right answer
};

constexpr std::array kOperatorBugs{
    // Caffe2's RoIAlign takes the index of the image as it is and reads whatever lies there.
    OperatorBug{"RoIAlign_ImageIndexTooLarge",
                "RoIAlign : 2x1x4x4 1x5=2,0,0,1,1 -> error: row 0 of rois has image index 2, but there are 2 images"},
    OperatorBug{"RoIAlign_ImageIndexNegative", "RoIAlign : 2x1x4x4 1x5=-1,0,0,1,1 -> error: has image index -1"},
    OperatorBug{"RoIAlign_ImageIndexNaN", "RoIAlign : 2x1x4x4 1x5=nan,0,0,1,1 -> error: has image index nan"},
    // -0.75 becomes 0 when it is truncated, but there may be no image 0 either.
    OperatorBug{"RoIAlign_FractionOfNoImage", "RoIAlign : 0x1x4x4 1x5=-0.75,0,0,1,1 -> error: but there are 0 images"},
    // The cast to int of what no int holds is undefined, and gives INT_MIN on x86.
    OperatorBug{"RoIAlign_ImageIndexNoInt", "RoIAlign : 2x1x4x4 1x5=1e30,0,0,1,1 -> error: has image index 1e+30"},
    // ceil(NaN) samples per bin, cast to int: a loop over 2^31 samples, or a division by 0.
    OperatorBug{
        "RoIAlign_NaNBox",
        "RoIAlign pooled_h=2 pooled_w=2 : 1x1x4x4~fill(3) 2x5=0,nan,nan,nan,nan,0,-inf,0,inf,1 -> 0 0 0 0 0 0 0 0"},
    // One sample per started cell: a box of 1e30 cells never ends.
    OperatorBug{"RoIAlign_HugeBox", "RoIAlign : 1x1x4x4~fill(3) 1x5=0,1e30,1e30,2e30,2e30 -> 0"},
    OperatorBug{
        "RoIAlign_ManySamples",
        "RoIAlign sampling_ratio=2147483647 : 1x1x4x4 1x5~fill(0) -> error: sampling_ratio must be at most 1024"},
    OperatorBug{"RoIAlign_ManyBins",
                "RoIAlign pooled_h=2147483647 : 1x0x4x4 1x5~fill(0) -> error: must be at most 1024"},
    OperatorBug{"RoIAlign_NoImages", "RoIAlign : 0x1x4x4 1x4 -> error: there are 0 images"},
    OperatorBug{"RoIAlign_EmptyMap", "RoIAlign : 1x1x0x0 1x4=0,0,1,1 -> 0"},
    // Detectron2's own RoIAlign asserts, and Caffe2's ends the process.
    OperatorBug{"RoIAlign_InvertedBox", "RoIAlign aligned=1 : 1x1x4x4 1x4=3,0,1,1 -> 0"},

    // The logarithm of an area that is NaN or negative, cast to int, is the index of a vector. Where that is checked,
    // one
    // such box ends the whole run.
    OperatorBug{
        "Distribute_NaNBox",
        "DistributeFpnProposals roi_min_level=2 roi_max_level=3 : 2x5=0,2,2,9,9,0,8,nan,9,9 -> 0 2 2 9 9 0 8 nan 9 "
        "9"},
    OperatorBug{"Distribute_NegativeArea",
                "DistributeFpnProposals roi_min_level=2 roi_max_level=3 : 1x5=0,8,0,0,8 -> 0 8 0 0 8"},
    // rois and scores of different lengths: a read beyond the shorter one.
    OperatorBug{
        "Collect_LengthsDiffer",
        "CollectRpnProposals rpn_min_level=2 rpn_max_level=3 rpn_post_nms_topN=2 : 1x5 1x5 2 1 -> error: scores_0 must "
        "be (1), got (2,)"},
    OperatorBug{"BatchPermutation_IndexTooLarge",
                "BatchPermutation : 3x2 int32:3=0,3,1 -> error: indices[1] is 3, must be in [0, 3)"},
    OperatorBug{"BatchPermutation_IndexNegative", "BatchPermutation : 3x2 int32:3=0,-1,1 -> error: indices[1] is -1"},
    OperatorBug{"BatchPermutation_TooFewIndices",
                "BatchPermutation : 3x2 int32:2 -> error: indices must be (N) with N = 3"},

    // Eigen maps over wrong strides: scores are taken to be of rank 4 unseen.
    OperatorBug{"GenerateProposals_Rank",
                "GenerateProposals : 3x4x4 1x12x4x4 1x3 3x4 -> error: scores must be (N, A, H, W), got (3, 4, 4)"},
    OperatorBug{"GenerateProposals_SizesDiffer",
                "GenerateProposals : 1x3x4x4 1x12x2x2 1x3 3x4 -> error: deltas must be (N, D, H, W) with H = 4"},
    OperatorBug{
        "GenerateProposals_FewDeltas",
        "GenerateProposals : 1x3x4x4 1x6x4x4 1x3 3x4 -> error: deltas must have 4 channels for each of 3 anchors"},
    // A comparison that is no strict weak order lets std::sort leave its range.
    OperatorBug{"GenerateProposals_NaNScores",
                "GenerateProposals min_size=0.0 : 1x1x5x5~fill(nan) 1x4x5x5~fill(nan) 1x3=5,5,1 1x4=-2,-2,2,2 -> "},
    OperatorBug{
        "GenerateProposals_TopNBeyondInt",
        "GenerateProposals pre_nms_topN=2147483648 : 1x3x4x4 1x12x4x4 1x3 3x4 -> error: must be within 32 bits"},
    OperatorBug{
        "BBoxTransform_ImageIndex",
        "BBoxTransform : 1x5=3,0,0,1,1 1x8 2x3 -> error: row 0 of rois has image index 3, but there are 2 images"},
    // batch_splits come from data and say how many rows are read.
    OperatorBug{"Nms_SplitsTooLong", "BoxWithNMSLimit : 2x3 2x12 1=7 -> error: batch_splits[0] is 7"},
    OperatorBug{"Nms_SplitsNegative", "BoxWithNMSLimit : 2x3 2x12 1=-2 -> error: batch_splits[0] is -2"},
    OperatorBug{"Nms_SplitsNaN", "BoxWithNMSLimit : 2x3 2x12 2=nan,2 -> error: batch_splits[0] is nan"},
    OperatorBug{"Nms_BoxesTooNarrow", "BoxWithNMSLimit : 2x3 2x8 -> error: boxes must have 12 columns"},
    OperatorBug{"BatchBoxes_SplitsTooLong", "BatchBoxes : 2x4 2=5,0 -> error: batch_splits[0] is 5"},

    // Sizes of outputs that come out negative and are used as unsigned, divisions by 0, overflows.
    OperatorBug{"Conv_KernelLongerThanImage",
                "Conv kernels=[9,9] : 1x1x4x4 1x1x9x9 -> error: the window is 9 long (kernel 9, dilation 1), the "
                "height only 4"},
    OperatorBug{"Conv_DilationZero", "Conv kernels=[3,3] dilations=[0,1] : 1x1x4x4 1x1x3x3 -> error: must be positive"},
    OperatorBug{"Conv_DilationBeyondInt",
                "Conv kernels=[3,3] dilations=[2147483648,1] : 1x1x4x4 1x1x3x3 -> error: must be within 32 bits"},
    OperatorBug{
        "Conv_DilationLargest",
        "Conv kernels=[3,3] dilations=[2147483647,1] : 1x1x4x4 1x1x3x3 -> error: the window is 4294967295 long"},
    OperatorBug{"Conv_StrideZero", "Conv kernels=[3,3] strides=[0,0] : 1x1x4x4 1x1x3x3 -> error: must be positive"},
    OperatorBug{"Conv_PadNegative",
                "Conv kernels=[3,3] pads=[-1,0,0,0] : 1x1x4x4 1x1x3x3 -> error: must be not negative"},
    OperatorBug{"Conv_GroupZero", "Conv kernels=[1,1] group=0 : 1x1x4x4 1x1x1x1 -> error: must be positive"},
    OperatorBug{"Conv_WeightOfAnotherSize",
                "Conv kernels=[3,3] : 1x1x4x4 1x1x1x1 -> error: W is (1, 1, 1, 1), the kernel 3 x 3"},
    OperatorBug{"Conv_SizeOverflows",
                "Conv kernels=[1,1] pads=[2147483647,2147483647,2147483647,2147483647] : 1x1x4x4 1x1x1x1 -> error: has "
                "more than "
                "2^63 elements"},
    OperatorBug{"ConvTranspose_SizeOverflows",
                "ConvTranspose kernels=[2,2] strides=[2147483647,2147483647] : 1x1x4x4 1x1x2x2 -> error: has more than "
                "2^63 elements"},
    OperatorBug{"MaxPool_OnlyPadding", "MaxPool kernel=2 pad=2 : 1x1x4x4 -> error: pads must be smaller than kernels"},
    OperatorBug{"ResizeNearest_HugeScale",
                "ResizeNearest width_scale=1e30 height_scale=1e30 : 1x1x4x4 -> error: 4 times 1e+30 is above 2^31"},
    OperatorBug{"ResizeNearest_NaNScale", "ResizeNearest width_scale=nan : 1x1x4x4 -> error: must be finite"},
    OperatorBug{"Softmax_Axis", "Softmax axis=7 : 2x3 -> error: axis is 7, must be from -2 to 1"},
    OperatorBug{"ReduceMean_Axis", "ReduceMean axes=[2] : 2x3 -> error: axis is 2, must be from -2 to 1"},
    OperatorBug{"Concat_Axis", "Concat axis=5 : 2x3 2x3 -> error: axis is 5, must be from -2 to 1"},
    OperatorBug{"Cast_UnknownType", "Cast to=99 : 2x3 -> error: to is 99"},
    OperatorBug{"FC_RowsDiffer", "FC : 2x3 4x5 4 -> error: rows of 3 values, W (4, 5) wants 5"},
};

class OperatorBugs : public ::testing::TestWithParam<OperatorBug> {};
TEST_P(OperatorBugs, IsNotHere) {
  const Case c = parse_case(GetParam().line);
  if (c.error) {
    try {
      (void)evaluate(*c.op, c.args, c.inputs);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const InternalError& e) {
      ADD_FAILURE() << e.what();
    } catch (const Error& e) {
      EXPECT_NE(std::string_view(e.what()).find(*c.error), std::string_view::npos) << e.what();
    }
    return;
  }
  const Tensor y = evaluate(*c.op, c.args, c.inputs).at(0);
  const auto& want = c.expected.at(0);
  const auto same = [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  EXPECT_TRUE(std::ranges::equal(y.values<float>(), want, same))
      << "found " << y.shape() << ", wanted " << want.size() << " values";
}
INSTANTIATE_TEST_SUITE_P(All, OperatorBugs, ::testing::ValuesIn(kOperatorBugs),
                         [](const auto& test) { return std::string(test.param.bug); });

// What a NaN becomes as an integer is any value, but it is no undefined behaviour: the sanitizers watch this.
TEST(Cast, OfWhatNoIntegerHolds) {
  const Tensor x = Tensor::of<float>({3}, {kNan, 1e30F, -std::numeric_limits<float>::infinity()});
  EXPECT_NO_THROW((void)evaluate(*find_operator("Cast"), {{"to", std::int64_t{2}}}, {x}));
}

// ---- Files -----------------------------------------------------------------------------------------

struct FileBug {
  const char* bug;
  std::function<void(Net& predict, Net& init)> damage;  // of a net that is right: data * w -> y
  const char* message;
};

std::string net_inside_of_net(int depth) {
  std::string bytes;
  for (int i = 0; i < depth; ++i) {
    Net net;
    auto& arg = *net.add("While", {}, {}).add_arg();
    arg.set_name("body");
    arg.set_n(bytes);
    bytes = net.bytes();
  }
  return bytes;
}

const std::vector<FileBug>& file_bugs() {
  static const std::vector<FileBug> bugs{
      // Caffe2 makes the blob on sight and reads an empty tensor.
      {"ReadsLaterBlob", [](Net& p, Net&) { p.op("Relu", {"later"}, {"z"}).op("Relu", {"y"}, {"later"}); },
       "source for input 'later' is unknown: it is made only later"},
      // An order by dependencies never ends, or a recursion runs out of stack.
      {"NamesInACircle", [](Net& p, Net&) { p.op("Relu", {"a"}, {"b"}).op("Relu", {"b"}, {"a"}); },
       "source for input 'a' is unknown: it is made only later"},
      {"ReadsItself", [](Net& p, Net&) { p.op("Relu", {"z"}, {"z"}); }, "source for input 'z' is unknown"},
      // Protobuf's accessors give the default of the field that was asked for: a stride of "2" becomes 0.
      {"ArgumentInTheFieldOfAString",
       [](Net& p, Net&) {
         p.op("Relu", {"y"}, {"r"}).op("MaxPool", {"data"}, {"z"}, {{"kernel", std::string("2")}});
       },
       "argument 'kernel' is \"2\", must be an integer"},
      {"ArgumentInTheFieldOfAFloat",
       [](Net& p, Net&) {
         p.op("MaxPool", {"data"}, {"z"}, {{"kernel", 2.5F}});
       },
       "argument 'kernel' is 2.5, must be an integer"},
      {"ArgumentInTheFieldOfOne",
       [](Net& p, Net&) {
         p.op("MaxPool", {"data"}, {"z"}, {{"kernels", std::int64_t{2}}});
       },
       "argument 'kernels' is 2, must be a list of integers"},
      {"ShapeInTheFieldOfFloats",
       [](Net&, Net& i) {
         i.def.clear_op(), i.op("ConstantFill", {}, {"w"}, {{"shape", Floats{2}}});
       },
       "argument 'shape' must hold ints"},
      // A bomb: 200 levels in 3 kilobytes are 200 levels of recursion, times any number of operators.
      {"NetInsideOfNet",
       [](Net& p, Net&) {
         auto& arg = *p.add("While", {"y"}, {"z"}).add_arg();
         arg.set_name("body");
         arg.set_n(net_inside_of_net(200));
       },
       "argument 'body': holds a net"},
      // Sizes in int, products without checks, resize() to what the file says before it is known to have it.
      {"NegativeDimension",
       [](Net&, Net& i) {
         i.def.clear_op(), i.weight("w", {-2}, {1, 2});
       },
       "shape [-2] holds -2"},
      {"TwoNegativeDimensions",
       [](Net&, Net& i) {
         i.def.clear_op(), i.weight("w", {-1, -2}, {1, 2});
       },
       "shape [-1,-2] holds -1"},
      {"ProductOverflowsToTheRightCount",  // 2^32 * 2^32 * 2 + ... wraps around to what there is
       [](Net&, Net& i) {
         i.def.clear_op(), i.weight("w", {std::int64_t{1} << 32, std::int64_t{1} << 32, 2}, {});
       },
       "has more than 2^63 elements"},
      {"ShapeLargerThanTheFile",
       [](Net&, Net& i) {
         i.def.clear_op(), i.weight("w", {std::int64_t{1} << 29}, {1, 2});
       },
       "needs 536870912 values, found 2"},
      {"FillLargerThanMemory",
       [](Net&, Net& i) {
         i.def.clear_op(), i.op("ConstantFill", {}, {"w"}, {{"shape", Ints{std::int64_t{1} << 40}}});
       },
       "takes 4398046511104 bytes"},
      // Constants are folded when a file is loaded; what they become must be bounded as well.
      {"FoldsToMoreThanMemory",
       [](Net& p, Net& i) {
         i.weight("k", {1, 1, 4, 4}, Floats(16, 1));
         p.inputs({"k"}).op("ResizeNearest", {"k"}, {"big"}, {{"width_scale", 1e7F}, {"height_scale", 1e7F}});
         p.op("Mul", {"data", "big"}, {"y2"}).outputs({"y2"});
       },
       "max_tensor_bytes"},
  };
  return bugs;
}

class FileBugs : public ::testing::TestWithParam<FileBug> {};
TEST_P(FileBugs, IsNotHere) {
  Net predict = small_predict_net(), init = small_init_net();
  GetParam().damage(predict, init);
  try {
    const Model::Impl model(read(predict, init), {});
    (void)model.plan({{"data", {DType::float32, {1, 3, 4, 2}, Layout::row_major}}});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const InternalError& e) {
    ADD_FAILURE() << e.what();
  } catch (const Error& e) {
    EXPECT_NE(std::string_view(e.what()).find(GetParam().message), std::string_view::npos) << e.what();
  }
}
INSTANTIATE_TEST_SUITE_P(All, FileBugs, ::testing::ValuesIn(file_bugs()),
                         [](const auto& test) { return std::string(test.param.bug); });

// Constants that stand among feature maps; found by the fuzzers.
TEST(Layouts, ConstantAmongFeatureMaps) {
  const auto model = Model::Impl::make(parse_graph("input data float32 ?x1x?x?\n"
                                                   "const w float32 2x1x1x1 = 1 -1\n"
                                                   "const c float32 1x2x2x1 = 5 6 7 8\n"
                                                   "x = Conv(data, w) {kernels=[1,1]}\n"
                                                   "y, sizes = Concat(x, c) {axis=3}\n"
                                                   "output y\n"),
                                       {});
  const Tensor data = Tensor::of<float>({1, 1, 2, 1}, {1, 2});
  const Tensor y = Session(model).run({{"data", data}}).at("y").clone();
  EXPECT_TRUE(std::ranges::equal(y.values<float>(), Floats{1, 5, 2, 6, -1, 7, -2, 8}));
}

// ---- Memory ----------------------------------------------------------------------------------------

TypeMap picture(std::int64_t height, std::int64_t width) {
  return {{"data", {DType::float32, {1, 1, height, width}, Layout::row_major}}};
}

template <class E>
void expect_plan_error(const char* text, const TypeMap& types, std::int64_t max_tensor_bytes, const char* message) {
  ModelOptions options;
  options.max_tensor_bytes = max_tensor_bytes;
  const Model::Impl model(parse_graph(text), options);
  try {
    (void)model.plan(types);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const E& e) {
    EXPECT_NE(std::string_view(e.what()).find(message), std::string_view::npos) << e.what();
  }
}

TEST(Memory, OfOneTensorIsBounded) {
  expect_plan_error<InvalidArgument>("input data float32 ?x1x?x?\ny = Sigmoid(data)\noutput y\n", picture(100, 100),
                                     39'999, "takes 40000 bytes, allowed are 39999 (max_tensor_bytes)");
}
TEST(Memory, OfASessionIsBounded) {
  std::string text = "input data float32 ?x1x?x?\n", outputs = "output";
  for (int i = 0; i < 17; ++i) {
    text += "y" + std::to_string(i) + " = Sigmoid(data)\n";
    outputs += " y" + std::to_string(i);  // all of them live until the end
  }
  text += outputs + '\n';
  expect_plan_error<DeviceError>(text.c_str(), picture(100, 100), 40'000, "allowed are 16 x 40000 (max_tensor_bytes)");
  ModelOptions options;
  options.max_tensor_bytes = 80'000;
  EXPECT_GE(Model::Impl(parse_graph(text), options).plan(picture(100, 100))->arena_bytes, 680'000U);
}
// Linux would grant this and end the process once it is written to.
TEST(Memory, MoreThanThereIsIsAnError) {
  EXPECT_THROW((void)Tensor::allocate({DType::uint8, {std::int64_t{1} << 46}, Layout::row_major}), DeviceError);
}

}  // namespace
}  // namespace d2deploy::testing
