// The port language of signatures, and the messages about inputs that do not fit.
#include "operators/signature.h"

#include <gtest/gtest.h>

#include "operators/operator.h"

using namespace d2deploy;

namespace {

template <class E, class F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "";
}

// The message about inputs of these types; empty: they fit.
std::string refusal(const char* ports, const Types& types) {
  return message_of<InvalidArgument>([&] { check_inputs("Op", parse_ports(ports), types); });
}
std::string output_refusal(const char* ports, std::size_t count) {
  return message_of<InvalidArgument>([&] { check_output_count("Op", parse_ports(ports), count); });
}

TEST(Ports, AreReadFromText) {
  const auto ports =
      parse_ports("X: float32|int32 (N, 4|5, ...) x1, y1 in pixels | b?: any any a bias | c*: uint8 (2)");
  ASSERT_EQ(ports.size(), 3U);
  EXPECT_EQ(ports[0].name, "X");
  EXPECT_EQ(ports[0].dtypes, (std::vector{DType::float32, DType::int32}));
  ASSERT_EQ(ports[0].dims.size(), 2U);
  EXPECT_EQ(ports[0].dims[0].symbol, "N");
  EXPECT_EQ(ports[0].dims[1].alternatives, (std::vector<std::int64_t>{4, 5}));
  EXPECT_TRUE(ports[0].open_ended);
  EXPECT_FALSE(ports[0].any_shape || ports[0].optional || ports[0].repeated);
  EXPECT_EQ(ports[0].remark, "x1, y1 in pixels");
  EXPECT_EQ(ports[1].name, "b");
  EXPECT_TRUE(ports[1].optional && ports[1].any_shape && ports[1].dtypes.empty());
  EXPECT_EQ(ports[1].remark, "a bias");
  EXPECT_TRUE(ports[2].repeated);
  EXPECT_EQ(ports[2].dims.at(0).alternatives, (std::vector<std::int64_t>{2}));
}

TEST(Ports, TextOfAnotherFormIsOurFault) {
  EXPECT_EQ(message_of<InternalError>([] { (void)parse_ports("X float32"); }), "signature: 'X float32' lacks a colon");
  EXPECT_EQ(message_of<InternalError>([] { (void)parse_ports("X: half any"); }),
            "signature: 'half' is not an element type");
}

TEST(Inputs, MustHaveTheTypeAndTheShape) {
  const char* ports = "X: float32|int32 (N, 4|5)";
  EXPECT_EQ(refusal(ports, {f32({7, 4})}), "");
  EXPECT_EQ(refusal(ports, {i32({7, 5})}), "");
  EXPECT_EQ(refusal(ports, {f32({7, kUnknown})}), "");
  EXPECT_EQ(refusal(ports, {{DType::uint8, {7, 4}}}), "Op: X must be float32|int32, got uint8");
  EXPECT_EQ(refusal(ports, {f32({7, 3})}), "Op: X must be (N, 4|5), got (7, 3)");
  EXPECT_EQ(refusal(ports, {f32({7})}), "Op: X must be (N, 4|5), got (7,)");
  EXPECT_EQ(refusal(ports, {f32({7, 4, 1})}), "Op: X must be (N, 4|5), got (7, 4, 1)");
}

TEST(Inputs, ShareDimensionsOfOneName) {
  const char* ports = "X: float32 (N, C, ...) | b?: float32 (C)";
  EXPECT_EQ(refusal(ports, {f32({2, 3, 4, 5}), f32({3})}), "");
  EXPECT_EQ(refusal(ports, {f32({2, 3})}), "");
  EXPECT_EQ(refusal(ports, {f32({2, kUnknown}), f32({3})}), "");
  EXPECT_EQ(refusal(ports, {f32({2, 3, 4}), f32({4})}), "Op: b must be (C) with C = 3, got (4,)");
  EXPECT_EQ(refusal(ports, {f32({2})}), "Op: X must be (N, C, ...), got (2,)");
  EXPECT_EQ(refusal("X: float32 (N, N)", {f32({2, 3})}), "Op: X must be (N, N) with N = 2, got (2, 3)");
}

TEST(Inputs, MustBeAsManyAsThePorts) {
  const char* ports = "X: float32 any | W: float32 any | b?: float32 any";
  EXPECT_EQ(refusal(ports, {f32({}), f32({})}), "");
  EXPECT_EQ(refusal(ports, {f32({})}), "Op: got 1 inputs, wanted X, W, b (optional)");
  EXPECT_EQ(refusal(ports, Types(4, f32({}))), "Op: got 4 inputs, wanted X, W, b (optional)");
}

TEST(Inputs, RepeatedPortsComeInEqualRuns) {
  const char* ports = "rois*: float32 (n, 5) | scores*: float32 any";
  EXPECT_EQ(refusal(ports, {f32({2, 5}), f32({2, 5}), f32({2}), f32({2})}), "");
  EXPECT_EQ(refusal(ports, Types(3, f32({2, 5}))), "Op: got 3 inputs, wanted rois, ..., scores, ...");
  EXPECT_EQ(refusal(ports, {}), "Op: got 0 inputs, wanted rois, ..., scores, ...");
  EXPECT_EQ(refusal(ports, {f32({2, 5}), f32({2, 4}), f32({2}), f32({2})}), "Op: rois must be (n, 5), got (2, 4)");
  const char* after = "x: float32 (R) | level*: float32 (R)";
  EXPECT_EQ(refusal(after, {f32({2}), f32({2}), f32({2})}), "");
  EXPECT_EQ(refusal(after, {f32({2})}), "Op: got 1 inputs, wanted x, level, ...");
}

TEST(Outputs, MustBeAsManyAsThePorts) {
  EXPECT_EQ(output_refusal("Y: any any | sizes?: any any", 1), "");
  EXPECT_EQ(output_refusal("Y: any any | sizes?: any any", 2), "");
  EXPECT_EQ(output_refusal("Y: any any | sizes?: any any", 0), "Op: got 0 outputs, wanted Y, sizes (optional)");
  EXPECT_EQ(output_refusal("Y: any any | sizes?: any any", 3), "Op: got 3 outputs, wanted Y, sizes (optional)");
  EXPECT_EQ(output_refusal("level*: any any | restore: any any", 5), "");
  EXPECT_EQ(output_refusal("level*: any any | restore: any any", 0), "Op: got 0 outputs, wanted level, ..., restore");
}

}  // namespace
