// Shapes that the generic operators infer where dimensions are not known yet (-1), and where layouts differ.
#include <gtest/gtest.h>

#include "operators/operator.h"

using namespace d2deploy;

namespace {

constexpr auto U = kUnknown;

Types infer_types(const char* type, const char* args, const Types& inputs, std::size_t outputs = 1) {
  const Operator& op = *find_operator(type);
  return infer(op, op.parse(parse_args(args)), {inputs, {}}, outputs);
}

Shape inferred(const char* type, const char* args, std::initializer_list<Shape> inputs) {
  Types types;
  for (const auto& s : inputs) types.push_back(f32(s));
  return infer_types(type, args, types)[0].shape;
}

TEST(GenericInfer, ConcatAddsKnownSizesAndTakesTheOthersFromAnyInput) {
  EXPECT_EQ(inferred("Concat", "axis=0", {{2, U}, {3, 4}}), Shape({5, 4}));
  EXPECT_EQ(inferred("Concat", "axis=0", {{2, U}, {U, U}}), Shape({U, U}));
  EXPECT_THROW(inferred("Concat", "axis=0", {{2, U}, {3, 4}, {1, 5}}), InvalidArgument);
}

TEST(GenericInfer, BinaryTakesTheSizeThatIsNotOne) {
  EXPECT_EQ(inferred("Add", "", {{U, 3, U, U}, {3, 1, 1}}), Shape({U, 3, U, U}));
  EXPECT_EQ(inferred("Mul", "", {{U, 4}, {5, U}}), Shape({5, 4}));
  EXPECT_EQ(inferred("Sub", "", {{U}, {U}}), Shape({U}));
  EXPECT_EQ(inferred("Div", "broadcast=1 axis=1", {{U, U, 4}, {3}}), Shape({U, U, 4}));
  EXPECT_EQ(inferred("Div", "broadcast=1", {{2, 4}, {U}}), Shape({2, 4}));
}

TEST(GenericInfer, WindowsOnImagesOfUnknownSize) {
  EXPECT_EQ(inferred("MaxPool", "kernel=3 stride=2 pad=1", {{U, 64, U, 10}}), Shape({U, 64, U, 5}));
  EXPECT_EQ(inferred("MaxPool", "kernel=3 legacy_pad=2", {{1, 64, U, U}}), Shape({1, 64, U, U}));
  EXPECT_EQ(inferred("MaxPool", "global_pooling=1", {{U, U, U, U}}), Shape({U, U, 1, 1}));
}

TEST(GenericInfer, ResizeDoesNotKnowWhatAnUnknownScaleGives) {
  EXPECT_EQ(inferred("ResizeNearest", "width_scale=2 height_scale=2", {{U, 3, U, 5}}), Shape({U, 3, U, 10}));
  EXPECT_EQ(inferred("ResizeNearest", "", {{U, 3, 4, 5}, {2}}), Shape({U, 3, U, U}));
}

TEST(GenericInfer, ProductsOfUnknownDimensionsAreUnknown) {
  EXPECT_EQ(inferred("Flatten", "", {{U, 256, 7, 7}}), Shape({U, 12544}));
  EXPECT_EQ(inferred("Flatten", "axis=2", {{U, 256, 7, 7}}), Shape({U, 49}));
  EXPECT_EQ(inferred("FC", "", {{U, 256, 7, 7}, {1024, 12544}, {1024}}), Shape({U, 1024}));
  EXPECT_EQ(inferred("FC", "axis=2", {{2, U, U}, {U, 5}, {8}}), Shape({2, U, 8}));
  EXPECT_EQ(inferred("FCRelu", "", {{U, U}, {U, U}, {U}}), Shape({U, U}));
}

TEST(GenericInfer, TheRestKeepsWhatItDoesNotTouch) {
  EXPECT_EQ(inferred("ReduceMean", "axes=[2,3] keepdims=0", {{U, 2048, U, 7}}), Shape({U, 2048}));
  EXPECT_EQ(inferred("ReduceMean", "axes=[2,3]", {{U, 2048, U, 7}}), Shape({U, 2048, 1, 1}));
  EXPECT_EQ(inferred("Softmax", "", {{U, 81}}), Shape({U, 81}));
  EXPECT_EQ(inferred("Cast", "to=1", {{U, 3, U, U}}), Shape({U, 3, U, U}));
}

TEST(GenericInfer, ReorderDecidesTheLayout) {
  const TensorType image{DType::float32, {1, 3, U, U}, Layout::row_major};
  EXPECT_EQ(infer_types("Reorder", "to=channels_last", {image})[0].layout, Layout::channels_last);
  EXPECT_EQ(infer_types("Reorder", "to=row_major", {image})[0].layout, Layout::row_major);
}

TEST(GenericInfer, InputsOfTwoLayoutsAreRefused) {
  const TensorType a{DType::float32, {1, 3, 4, 5}, Layout::row_major};
  const TensorType b{DType::float32, {1, 3, 4, 5}, Layout::channels_last};
  EXPECT_THROW(infer_types("Concat", "", {a, b}), InternalError);
  EXPECT_THROW(infer_types("Add", "", {a, b}), InternalError);
  EXPECT_EQ(infer_types("Concat", "", {b, b})[0].layout, Layout::channels_last);
}

TEST(GenericInfer, AsManyOutputsAsArgumentsAskForAreWanted) {
  for (const std::size_t outputs : {2U, 4U, 51U})
    EXPECT_THROW(infer_types("DistributeFpnProposals", "roi_min_level=2 roi_max_level=3", {f32({7, 5})}, outputs),
                 InvalidModel);
  EXPECT_EQ(infer_types("DistributeFpnProposals", "roi_min_level=2 roi_max_level=3", {f32({7, 5})}, 3).size(), 3U);
}

TEST(GenericInfer, EveryNameOfCopyIsKnown) {
  for (const char* type : {"CopyCPUToGPU", "CopyGPUToCPU", "CopyFromCPUInput", "EnsureCPUOutput", "Alias", "Identity",
                           "StopGradient", "AliasWithName"})
    EXPECT_EQ(find_operator(type), find_operator("Copy")) << type;
}

}  // namespace
