// Operators on feature maps where dimensions are not known when they are planned (-1): shapes, and scratch memory.
#include <gtest/gtest.h>

#include "operators/evaluate.h"

using namespace d2deploy;

namespace {

constexpr auto U = kUnknown;

Types inferred(const char* type, const char* args, std::initializer_list<Shape> inputs, std::size_t outputs = 1) {
  const Operator& op = *find_operator(type);
  Types types;
  for (const auto& s : inputs) types.push_back(f32(s));
  return infer(op, op.parse(parse_args(args)), {types, {}}, outputs);
}

TEST(MapInfer, NormalisationsKeepTheShape) {
  EXPECT_EQ(inferred("GroupNorm", "", {{U, 64, U, U}, {64}, {U}})[0].shape, Shape({U, 64, U, U}));
  EXPECT_EQ(inferred("GroupNorm", "group=4", {{2, U, 3, U}, {U}, {U}}, 3)[2].shape, Shape({2, 4}));
  EXPECT_EQ(inferred("GroupNormRelu", "", {{U, U, U, U}, {U}, {U}})[0].shape, Shape({U, U, U, U}));
  EXPECT_EQ(inferred("InstanceNorm", "", {{U, 8, U, U}, {8}, {8}}, 2)[1].shape, Shape({U, 8}));
  EXPECT_EQ(inferred("SpatialBN", "is_test=1", {{U, U, U, U}, {U}, {8}, {U}, {U}})[0].shape, Shape({U, U, U, U}));
  EXPECT_EQ(inferred("AffineChannel", "", {{U, 8, U, U}, {8}, {8}})[0].shape, Shape({U, 8, U, U}));
}

TEST(MapInfer, SizesOfWindowsPadsAndScales) {
  EXPECT_EQ(inferred("AveragePool", "kernel=3 stride=2 pad=1", {{U, 64, U, 10}})[0].shape, Shape({U, 64, U, 5}));
  EXPECT_EQ(inferred("AveragePool", "global_pooling=1", {{U, U, U, U}})[0].shape, Shape({U, U, 1, 1}));
  EXPECT_EQ(inferred("PadImage", "pads=[1,2,3,4] mode=reflect", {{U, 3, U, 5}})[0].shape, Shape({U, 3, U, 11}));
  EXPECT_EQ(inferred("UpsampleNearest", "scale=3", {{U, 3, U, 5}})[0].shape, Shape({U, 3, U, 15}));
  EXPECT_EQ(inferred("ResizeBilinear", "height_scale=2", {{U, 3, U, 5}})[0].shape, Shape({U, 3, U, 5}));
  EXPECT_EQ(inferred("ResizeBilinear", "", {{U, 3, 4, 5}, {2}})[0].shape, Shape({U, 3, U, U}));
}

TEST(MapInfer, ElementwiseAndOrder) {
  EXPECT_EQ(inferred("Sum", "", {{U, 3}, {2, U}, {U, U}})[0].shape, Shape({2, 3}));
  EXPECT_THROW(inferred("Sum", "", {{U, 3}, {2, U}, {4, U}}), InvalidArgument);
  EXPECT_EQ(inferred("Pow", "exponent=2", {{U, 3}})[0].shape, Shape({U, 3}));
  EXPECT_EQ(inferred("Pow", "", {{U, 3}, {3}})[0].shape, Shape({U, 3}));
  EXPECT_EQ(inferred("NCHW2NHWC", "", {{U, 3, U, 5}})[0].shape, Shape({U, U, 5, 3}));
  EXPECT_EQ(inferred("NHWC2NCHW", "", {{U, U, 5, 3}})[0].shape, Shape({U, 3, U, 5}));
}

// Prepares the portable kernel without a single known dimension, then runs it: outputs must be those of a call whose
// shapes were known, and no scratch memory may be used but what was asked for (none; the address sanitizer sees to it).
void check_late_shapes(const char* type, const char* args, const std::vector<Tensor>& inputs) {
  const Operator& op = *find_operator(type);
  const auto want = evaluate(op, parse_args(args), inputs);
  Types in, out;
  std::vector<Tensor> outputs;
  std::vector<const Tensor*> from;
  std::vector<Tensor*> to;
  const auto unknown = [](TensorType t) {
    for (std::size_t d = 0; d < t.shape.rank(); ++d) t.shape[d] = kUnknown;
    return t;
  };
  for (const auto& t : inputs) from.push_back(&t), in.push_back(unknown(t.type()));
  for (const auto& t : want) outputs.push_back(Tensor::allocate(t.type())), out.push_back(unknown(t.type()));
  for (auto& t : outputs) to.push_back(&t);
  const std::vector<Constant*> constants(inputs.size(), nullptr);
  const Kernel& kernel = op.kernels.back();
  const auto params = op.parse(parse_args(args));
  const Prepared prepared = kernel.prepare(op, params, {in, out, constants, false, {}});
  ASSERT_EQ(prepared.scratch_bytes, 0U);
  kernel.run(params, {{}, from, to, {}, {}, nullptr, prepared.state.get()});
  for (std::size_t i = 0; i < want.size(); ++i)
    for (std::int64_t k = 0; k < want[i].size(); ++k)
      ASSERT_EQ(outputs[i].data<float>()[k], want[i].data<float>()[k]) << type << ", output " << i << ", element " << k;
}

TEST(MapInfer, ScratchMemoryOfShapesThatComeLate) {
  const Tensor x = Tensor::of({1, 2, 1, 3}, {1.0F, 2.0F, 4.0F, -1.0F, 0.0F, 3.0F});
  const Tensor two = Tensor::of({2}, {1.0F, 2.0F});
  check_late_shapes("GroupNorm", "group=1", {x, two, two});
  check_late_shapes("GroupNormRelu", "group=2", {x, two, two});
  check_late_shapes("InstanceNorm", "", {x, two, two});
  check_late_shapes("SpatialBN", "is_test=1", {x, two, two, two, two});
  check_late_shapes("ResizeNearest", "width_scale=1.5", {x});
}

}  // namespace
