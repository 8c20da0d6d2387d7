// Shapes that are computed inside of a net: what is inferred, what is folded, and what only a run can tell.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "d2deploy/model.h"
#include "net_builder.h"
#include "passes/pass.h"

using namespace d2deploy;
using d2deploy::testing::Net;

namespace {

constexpr auto U = kUnknown;

Shape inferred(const char* type, const char* args, const Types& inputs, std::size_t output = 0) {
  const Operator& op = *find_operator(type);
  const auto params = op.parse(parse_args(args));
  return infer_all(op, params, {inputs, {}})[output].shape;
}
TensorType i64(Shape shape) { return {DType::int64, shape, Layout::row_major}; }

TEST(ShapeInfer, UnknownDimensionsStayUnknown) {
  EXPECT_EQ(inferred("Slice", "starts=[1] ends=[-1]", {f32({U, 4})}), Shape({U, 4}));
  EXPECT_EQ(inferred("Slice", "starts=[0,1] ends=[-1,3]", {f32({U, 4})}), Shape({U, 2}));
  EXPECT_EQ(inferred("Slice", "", {f32({5, 4}), i64({1}), i64({1})}), Shape({U, 4}));
  EXPECT_EQ(inferred("Slice", "", {f32({5, 4}), i64({U}), i64({U})}), Shape({U, U}));
  EXPECT_EQ(inferred("Transpose", "axes=[0,2,3,1]", {f32({U, 3, 8, U})}), Shape({U, 8, U, 3}));
  EXPECT_EQ(inferred("Split", "axis=0 parts=2", {f32({U, 4})}, 1), Shape({U, 4}));
  EXPECT_EQ(inferred("Split", "axis=0 parts=2", {f32({8, 4}), i64({2})}), Shape({U, 4}));
  EXPECT_EQ(inferred("Squeeze", "dims=[0]", {f32({U, 4})}), Shape({4}));
  EXPECT_EQ(inferred("ExpandDims", "dims=[1]", {f32({U, 4})}), Shape({U, 1, 4}));
  EXPECT_EQ(inferred("Shape", "", {f32({U, 4})}), Shape({2}));
  EXPECT_EQ(inferred("Gather", "", {f32({5, U}), i64({3})}), Shape({3, U}));
  EXPECT_EQ(inferred("Gather", "", {f32({U, 4}), i64({3})}), Shape({U, 4}));  // X may turn out to be empty
  EXPECT_EQ(inferred("MatMul", "trans_a=1", {f32({U, 5}), f32({7, U})}), Shape({5, U}));
  EXPECT_EQ(inferred("BatchMatMul", "broadcast=1", {f32({U, 2, 3}), f32({3, U})}), Shape({U, 2, U}));
  EXPECT_EQ(inferred("FCTransposed", "", {f32({U, 256, 7, 7}), f32({U, 9}), f32({9})}), Shape({U, 9}));
  EXPECT_EQ(inferred("ScatterAssign", "", {f32({U, 4}), i64({U}), f32({U, 4})}), Shape({U, 4}));
  EXPECT_EQ(inferred("ConstantFill", "extra_shape=[3]", {f32({U, 4})}), Shape({U, 4, 3}));
  EXPECT_EQ(inferred("ConstantFill", "input_as_shape=1 extra_shape=[3]", {i64({2})}), Shape({U, U, 3}));
}

TEST(ShapeInfer, ReshapeNeedsNotKnowWhatItTakesOver) {
  EXPECT_EQ(inferred("Reshape", "shape=[0,-1]", {f32({U, 4, 5})}), Shape({U, 20}));
  EXPECT_EQ(inferred("Reshape", "shape=[-1,4]", {f32({U, 4})}), Shape({U, 4}));
  EXPECT_EQ(inferred("Reshape", "shape=[2,8]", {f32({U, 4})}), Shape({2, 8}));
  EXPECT_EQ(inferred("Reshape", "", {f32({2, 8}), i64({3})}), Shape({U, U, U}));
  EXPECT_THROW(inferred("Reshape", "", {f32({2, 8}), i64({U})}), Unsupported);
  EXPECT_THROW(inferred("ConstantFill", "input_as_shape=1", {i64({U})}), Unsupported);
}

std::string folded(const char* text) {
  Graph graph = parse_graph(text);
  fold_constants(graph, {});
  return to_text(graph);
}

TEST(FoldConstants, FillsAndWhatIsMadeOfThem) {
  const auto text = folded(R"(
input data float32 2x3
a = GivenTensorInt64Fill() {shape=[2] values=[3,2]}
b = ConstantFill(a) {input_as_shape=1 value=1.5}
c, old = Reshape(b, a)
y = MatMul(data, b)
output y
output c
)");
  EXPECT_EQ(text.find("Fill"), std::string::npos) << text;
  EXPECT_NE(text.find("const b float32 3x2"), std::string::npos) << text;
  EXPECT_NE(text.find("Reshape"), std::string::npos) << text;  // c is an output of the net
}

TEST(FoldConstants, ShapesThatAreKnown) {
  const auto text = folded(R"(
input data float32 2x3
s = Shape(data)
first = Slice(s) {ends=[1] starts=[0]}
y = ConstantFill(first) {input_as_shape=1 value=1.0}
t = Shape(y)
z = Gather(data, t)
output z
)");
  EXPECT_EQ(text.find("Shape"), std::string::npos) << text;
  EXPECT_NE(text.find("const t int64 1"), std::string::npos) << text;
}

TEST(FoldConstants, LeavesWhatDependsOnTheRunOrIsLarge) {
  const auto size = folded("input data float32 ?x3\ns = Shape(data)\ny = Gather(s, s)\noutput y\n");
  EXPECT_NE(size.find("Shape(data)"), std::string::npos) << size;
  const auto rows = folded(R"(
input scores float32 9x2
input boxes float32 9x4
a, b, c = BoxWithNMSLimit(scores, boxes) {detections_per_im=5 input_boxes_include_bg_cls=0}
r = Relu(b)
s = Shape(r)
y = Gather(s, s)
output y
)");
  EXPECT_NE(rows.find("Shape(r)"), std::string::npos) << rows;
  const auto large = folded("f = ConstantFill() {shape=[2000,2000,2000000000]}\ny = Relu(f)\noutput y\n");
  EXPECT_NE(large.find("ConstantFill"), std::string::npos) << large;
}

// A head whose shapes follow the number of detections: data holds, per row, two scores and a box.
std::shared_ptr<const Model> detections_model(bool optimize) {
  Net net;
  net.op("GivenTensorInt64Fill", {}, {"six"}, {{"values", Ints{-1, 6}}, {"shape", Ints{2}}})
      .op("Reshape", {"data", "six"}, {"rows", "data_shape"})
      .op("Split", {"rows"}, {"scores", "boxes"}, {{"axis", std::int64_t{1}}, {"split", Ints{2, 4}}})
      .op("BoxWithNMSLimit", {"scores", "boxes"}, {"kept_scores", "kept", "classes"},
          {{"input_boxes_include_bg_cls", std::int64_t{0}}, {"nms", 0.5F}, {"legacy_plus_one", std::int64_t{0}}})
      .op("Shape", {"kept"}, {"kept_shape"})
      .op("Slice", {"kept_shape"}, {"count"}, {{"starts", Ints{0}}, {"ends", Ints{1}}})
      .op("GivenTensorInt64Fill", {}, {"two"}, {{"values", Ints{2, 2}}, {"shape", Ints{2}}})
      .op("Concat", {"count", "two"}, {"corners_shape", "unused"}, {{"axis", std::int64_t{0}}})
      .op("Reshape", {"kept", "corners_shape"}, {"corners", "old"})
      .op("ConstantFill", {"count"}, {"ones"}, {{"input_as_shape", std::int64_t{1}}, {"value", 1.0F}})
      .op("Transpose", {"corners"}, {"turned"}, {{"axes", Ints{2, 0, 1}}})
      .op("GivenTensorIntFill", {}, {"last"}, {{"values", Ints{-1}}, {"shape", Ints{1}}})
      .op("Gather", {"kept", "last"}, {"bottom"})
      .inputs({"data", "im_info"})
      .outputs({"corners", "old", "ones", "turned", "bottom", "data_shape"});
  const auto folder = std::filesystem::temp_directory_path() / ("shapes_test_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "model.pb", std::ios::binary) << net.bytes();
  Net init;
  init.weight("spare", {1}, {0});
  std::ofstream(folder / "model_init.pb", std::ios::binary) << init.bytes();
  ModelOptions options;
  options.optimize = optimize;
  auto model = Model::load(folder / "model.pb", folder / "model_init.pb", options);
  std::filesystem::remove_all(folder);
  return model;
}

std::vector<float> floats(const Tensor& t) { return {t.values<float>().begin(), t.values<float>().end()}; }

TEST(ShapesAtRun, FollowTheNumberOfDetections) {
  for (const bool optimize : {false, true}) {
    Session session(detections_model(optimize));
    Tensors in{{"im_info", Tensor::of<float>({1, 3}, {2, 3, 1})}};
    // Per row two scores, of a class and the background, and a box. Two rows are kept, in the order of their scores;
    // the third is below the threshold.
    in["data"] = Tensor::of<float>({1, 3, 2, 3}, {0.5F, 0, 1, 2, 3, 4, 0.9F, 0, 10, 20, 30, 40, 0.01F, 0, 5, 6, 7, 8});
    auto out = session.run(in);
    EXPECT_EQ(out.at("corners").shape(), Shape({2, 2, 2}));
    EXPECT_EQ(floats(out.at("corners")), std::vector<float>({10, 20, 30, 40, 1, 2, 3, 4}));
    EXPECT_EQ(out.at("turned").shape(), Shape({2, 2, 2}));
    EXPECT_EQ(floats(out.at("turned")), std::vector<float>({10, 30, 1, 3, 20, 40, 2, 4}));
    EXPECT_EQ(out.at("old").values<std::int64_t>()[0], 2);
    EXPECT_EQ(out.at("ones").shape(), Shape({2}));
    EXPECT_EQ(floats(out.at("bottom")), std::vector<float>({1, 2, 3, 4}));
    EXPECT_EQ(out.at("data_shape").values<std::int64_t>()[3], 3);
    // No row is.
    in["data"] = Tensor::of<float>({1, 3, 2, 3}, std::span<const float>(std::vector<float>(18, 0.0F)));
    out = session.run(in);
    EXPECT_EQ(out.at("corners").shape(), Shape({0, 2, 2}));
    EXPECT_EQ(out.at("ones").shape(), Shape({0}));
    EXPECT_EQ(out.at("bottom").shape(), Shape({0, 4}));
    EXPECT_EQ(out.at("old").values<std::int64_t>()[0], 0);
  }
}

}  // namespace
