// int8: numbers in 8 bits, files of calibrations, which nodes get it, and what a calibrated net computes.
#include "kernels/quantise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "core/element_type.h"
#include "d2deploy/calibrator.h"
#include "graph/fingerprint.h"
#include "io/calibration_file.h"
#include "kernels/convert.h"
#include "kernels/convert_loops.h"
#include "kernels/instruction_sets.h"
#include "message_of.h"
#include "net_run.h"
#include "noise.h"
#include "operators/evaluate.h"
#include "passes/quantise.h"
#include "runtime/histogram.h"

namespace d2deploy {
namespace {

// ---- Numbers -------------------------------------------------------------------------------------

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

template <class Q>
std::vector<int> quanta(std::initializer_list<float> values, float scale) {
  const Tensor x = Tensor::of<float>({static_cast<std::int64_t>(values.size())}, values);
  Tensor y = Tensor::allocate({kDType<Q>, x.shape(), Layout::row_major, scale});
  convert(x, y);
  const auto q = y.values<Q>();
  return {q.begin(), q.end()};
}

TEST(Quantise, RoundsToEvenAndStaysInRange) {
  EXPECT_EQ(quanta<std::int8_t>({0, 0.25F, 0.75F, 1.25F, -0.75F, -0.8F}, 0.5F), (std::vector{0, 0, 2, 2, -2, -2}));
  EXPECT_EQ(quanta<std::uint8_t>({-1, 0.1F, 127.5F, 128, 1e30F}, 0.5F), (std::vector{0, 0, 255, 255, 255}));
  EXPECT_EQ(quanta<std::int8_t>({-63.5F, -64, -1e30F, 64}, 0.5F), (std::vector{-127, -127, -127, 127}));
}

TEST(Quantise, WhatIsNotFinite) {
  EXPECT_EQ(quanta<std::int8_t>({kNaN, kInfinity, -kInfinity}, 1), (std::vector{0, 127, -127}));
  EXPECT_EQ(quanta<std::uint8_t>({kNaN, kInfinity, -kInfinity}, 1), (std::vector{0, 255, 0}));
}

TEST(Quantise, ThereAndBackIsTheSame) {
  Tensor q = Tensor::allocate({DType::int8, {255}, Layout::row_major, 0.037F});
  for (int i = 0; i < 255; ++i) q.data<std::int8_t>()[i] = static_cast<std::int8_t>(i - 127);
  Tensor x = Tensor::allocate(f32({255})), again = Tensor::allocate(q.type());
  convert(q, x);
  convert(x, again);
  EXPECT_TRUE(std::ranges::equal(q.values<std::int8_t>(), again.values<std::int8_t>()));
}

// Every loop of `loops` over some of `x`, one output behind the other; what is behind each must stay.
std::vector<std::byte> converted(const ConvertLoops& loops, std::span<const float> x) {
  const auto n = std::ssize(x);
  std::vector<std::byte> all;
  const auto add = [&]<class T>(T, std::int64_t count, const auto& loop) {
    std::vector<T> y(static_cast<std::size_t>(count) + 1, static_cast<T>(7.0F));
    loop(y.data());
    EXPECT_EQ(static_cast<float>(y.back()), 7.0F) << loops.name;
    const auto bytes = std::as_bytes(std::span(y));
    all.insert(all.end(), bytes.begin(), bytes.end());
  };
  add(std::uint8_t(), n, [&](auto* y) { loops.quantise_u8(x.data(), 3.7F, n, y); });
  add(std::int8_t(), n, [&](auto* y) { loops.quantise_i8(x.data(), 3.7F, n, y); });
  add(BFloat16(), n, [&](auto* y) { loops.narrow(x.data(), n, y); });
  return all;
}

TEST(Quantise, LoopsOfEveryInstructionSetGiveTheSameBits) {
  const AllConvertLoops all = all_convert_loops();
  std::vector<float> x = noise(300, 1, 40);
  for (const float v : {kNaN, -kNaN, kInfinity, -kInfinity, 0.0F, -0.0F, 1e-40F, 3e9F, -3e9F, 3.4e38F, 257.0F, 0.5F})
    x.insert(x.begin() + 70, v);
  for (int k = 0; k < 600; ++k) x.push_back(static_cast<float>(k - 300) / 2 / 3.7F);  // close to halves
  for (int i = 1; i < all.count; ++i)
    for (const std::size_t n : {0UL, 1UL, 7UL, 8UL, 15UL, 16UL, 17UL, 63UL, 64UL, 65UL, 129UL, x.size()})
      EXPECT_EQ(converted(all.loops[0], std::span(x).first(n)), converted(all.loops[i], std::span(x).first(n)))
          << all.loops[i].name << ", " << n << " numbers";
}

TEST(Quantise, WeightsHaveAScalePerChannel) {
  const Tensor w = Tensor::of<float>({2, 3}, {127, -1, 0.6F, 0, 0, 0});
  EXPECT_EQ(weight_scales(w, 0), (std::vector{1.0F, 1.0F}));  // a channel of zeros has some scale
  EXPECT_EQ(weight_scales(w, 1), (std::vector{1.0F, 1 / 127.0F, 0.6F / 127.0F}));
  const Tensor rounded = rounded_weights(w, 0);
  EXPECT_TRUE(std::ranges::equal(rounded.values<float>(), std::vector{127.0F, -1.0F, 1.0F, 0.0F, 0.0F, 0.0F}));
}

TEST(Quantise, WeightsNextToZeroBecomeZero) {
  const Tensor w = Tensor::of<float>({3, 2}, {1e-44F, -1e-45F, 1e-38F, -1e-37F, 1.0F, -1e-44F});
  EXPECT_EQ(weight_scales(w, 0), (std::vector{1.0F, 1.0F, 1 / 127.0F}));
  const Tensor rounded = rounded_weights(w, 0);
  EXPECT_TRUE(std::ranges::equal(rounded.values<float>(), std::vector{0.0F, 0.0F, 0.0F, 0.0F, 1.0F, 0.0F}));
}

TEST(Quantise, RoundingWeightsTwiceIsRoundingOnce) {
  const Tensor once = rounded_weights(noise({7, 5, 3, 3}), 0), twice = rounded_weights(once, 0);
  for (std::int64_t i = 0; i < once.size(); ++i)
    EXPECT_NEAR(once.data<float>()[i], twice.data<float>()[i], 1e-6F * std::fabs(once.data<float>()[i]));
}

// ---- Ranges --------------------------------------------------------------------------------------

TEST(Histogram, AnEvenSpreadKeepsItsWholeRange) {
  Histogram histogram;
  ASSERT_TRUE(histogram.add(noise({100000})));
  const Range range = histogram.best_range();
  EXPECT_NEAR(range.low, -1, 0.02F);
  EXPECT_NEAR(range.high, 1, 0.02F);
}

TEST(Histogram, OneOutlierIsCutOff) {
  Tensor x = noise({100000});
  x.data<float>()[77] = 100;
  Histogram histogram;
  ASSERT_TRUE(histogram.add(x));
  EXPECT_LT(histogram.best_range().high, 90);
  EXPECT_GE(histogram.best_range().high, 1);
}

TEST(Histogram, GrowsWithWhatComes) {
  Histogram histogram;
  ASSERT_TRUE(histogram.add(Tensor::of<float>({3}, {0, 1e-3F, 1e-3F})));
  ASSERT_TRUE(histogram.add(Tensor::of<float>({3}, {5, 5, 5})));
  EXPECT_EQ(histogram.best_range().low, 0);
  EXPECT_NEAR(histogram.best_range().high, 5, 0.01F);
}

TEST(Histogram, ZerosHaveNoRangeAndHugeNumbersHaveOne) {
  Histogram zeros, huge, infinite;
  EXPECT_TRUE(zeros.add(Tensor::of<float>({2}, {0, 0})));
  EXPECT_EQ(zeros.best_range(), Range());
  EXPECT_TRUE(huge.add(Tensor::of<float>({2}, {3e38F, -1})));
  EXPECT_GT(huge.best_range().high, 2.9e38F);
  EXPECT_FALSE(infinite.add(Tensor::of<float>({2}, {1, kInfinity})));
  EXPECT_FALSE(infinite.add(Tensor::of<float>({2}, {kNaN, 1})));
  EXPECT_TRUE(infinite.empty());
}

TEST(QuantisedType, FollowsTheRange) {
  EXPECT_EQ(quantised_type({0, 51}), (TensorType{DType::uint8, {}, Layout::row_major, 0.2F}));
  EXPECT_EQ(quantised_type({-254, 3}), (TensorType{DType::int8, {}, Layout::row_major, 2}));
  EXPECT_FALSE(is_quantised(quantised_type({0, 0})));
  EXPECT_FALSE(is_quantised(quantised_type({0, 3e38F})));
  EXPECT_FALSE(is_quantised(quantised_type({-1e-30F, 1e-30F})));
}

// ---- Kernels -------------------------------------------------------------------------------------

// An operator that the pass leaves in 8 bits must have a kernel for them, on every CPU and in every build.
TEST(QuantisedKernels, AreThereWhereNumbersMayBeQuantised) {
  int kept = 0, layers = 0;
  for (const auto& [type, op] : operators()) {
    const bool layer = can_quantise(op);
    if (!layer && !op.is(keeps_range)) continue;
    (layer ? layers : kept) += 1;
    EXPECT_TRUE(std::ranges::any_of(op.kernels, [](const Kernel& k) {
      return k.backend == Backend::cpu && k.takes_real(DType::int8);
    })) << type;
  }
  EXPECT_GE(kept, 8);
  EXPECT_GE(layers, 8);
}

// Those alone that say so: the numbers of a type of real ones are no quantised ones, whatever their rank is.
TEST(QuantisedKernels, AreNotThoseForRealNumbers) {
  for (const auto& [type, op] : operators())
    for (const Kernel& k : op.kernels)
      if (k.name.find("_f32") != std::string::npos && !k.wide) {
        EXPECT_FALSE(k.takes_real(DType::int8)) << type << ' ' << k.name;
      }
}

#ifdef D2DEPLOY_TEST_ONEDNN
// A residual comes from a layer without ReLU, and may be negative; their sum is not.
TEST(QuantisedKernels, AddANumberWithASignToOneWithout) {
  if (!has_vnni()) GTEST_SKIP() << "the CPU has no VNNI";
  const Operator& op = *find_operator("ConvAddRelu");
  const TensorType x{DType::uint8, {1, 8, 4, 4}, Layout::channels_last, 0.5F};
  const TensorType a{DType::int8, {1, 8, 4, 4}, Layout::channels_last, 0.25F};
  const std::vector<Tensor> inputs{Tensor::allocate(x), Tensor::allocate(f32({8, 8, 1, 1})), Tensor::allocate(f32({8})),
                                   Tensor::allocate(a)};
  const Args args{{"kernels", std::vector<std::int64_t>{1, 1}}, {"y_dtype", std::string("uint8")}, {"y_scale", 0.5F}};
  const Evaluation call(op, args, inputs, {false, true, true, false});
  const auto kernel = std::ranges::find(op.kernels, std::string("onednn_int8"), &Kernel::name);
  ASSERT_NE(kernel, op.kernels.end());
  EXPECT_EQ(call.reject(*kernel), "");
}
#endif

// ---- Files ---------------------------------------------------------------------------------------

const Calibration kCalibration{
    0x0123456789ABCDEF, {{"a b", {-1.5F, 2}}, {"y", {0, 1e-3F}}}, {{"y", 0.25F}}, {"z with spaces"}};

TEST(Calibration, TextReadsBack) { EXPECT_EQ(parse_calibration(to_text(kCalibration)), kCalibration); }

TEST(Calibration, OneThatIsCutOffAnywhereIsRefused) {
  const std::string text = to_text(kCalibration);
  for (std::size_t bytes = 0; bytes + 1 < text.size(); ++bytes)
    EXPECT_THROW((void)parse_calibration(text.substr(0, bytes)), InvalidModel) << bytes;
  EXPECT_EQ(message_of<InvalidModel>([&] { (void)parse_calibration(text.substr(0, text.rfind("end"))); }),
            "is cut off: its last line must be 'end'; make it again");
}

TEST(Calibration, CommentsAndLineEndsMeanNothing) {
  EXPECT_EQ(parse_calibration("d2deploy calibration 1\r\n# made by hand\r\n\r\nmodel 00000000000000ff\r\nkeep y").model,
            255U);
}

std::string refusal(const std::string& lines) {
  return message_of<InvalidModel>(
      [&] { (void)parse_calibration("d2deploy calibration 1\nmodel 0000000000000001\n" + lines); });
}

TEST(Calibration, DamagedTextIsRefusedWithItsLine) {
  EXPECT_EQ(refusal("range 1.0 y\n"), "line 3: 'y' is not a number");
  EXPECT_EQ(refusal("range 1.0 0.0 y\n"), "line 3: the range begins at 1 and ends at 0");
  EXPECT_EQ(refusal("range nan 0.0 y\n"), "line 3: 'nan' must be finite");
  EXPECT_EQ(refusal("range 0.0 inf y\n"), "line 3: 'inf' must be finite");
  EXPECT_EQ(refusal("\nrange 0.0 1.0 \n"), "line 4: a name is missing");
  EXPECT_EQ(refusal("range 0.0 1.0 y\nrange 0.0 1.0 y\n"), "line 4: 'y' has two ranges");
  EXPECT_EQ(refusal("layer -1.0 y\n"), "line 3: the error -1 is negative");
  EXPECT_EQ(refusal("rang 0.0 1.0 y\n"), "line 3: 'rang' is unknown; known: model, range, layer, keep");
  EXPECT_EQ(refusal("model 12\n"), "line 3: '12' is not a number of 16 hexadecimal digits");
}

TEST(Calibration, OtherFilesAreRefused) {
  const auto refused = [](const std::string& text) {
    return message_of<InvalidModel>([&] { (void)parse_calibration(text); });
  };
  EXPECT_NE(refused("").find("does not say which model"), std::string::npos);
  EXPECT_NE(refused(std::string("\0\x12\xFF", 3)).find("is not a calibration that this version reads"),
            std::string::npos);
  EXPECT_NE(refused("d2deploy calibration 3\n").find("is not a calibration that this version reads"),
            std::string::npos);
  EXPECT_NE(refused("d2deploy calibration 1\nkeep y\n").find("a line 'model' is missing"), std::string::npos);
}

TEST(Fingerprint, TellsNetsAndWeightsApart) {
  const std::string net = "input x float32 2\nconst w float32 2 = 1 2\ny = Add(x, w)\noutput y\n";
  const auto of = [](const std::string& text) { return fingerprint(parse_graph(text)); };
  EXPECT_EQ(of(net), of(net));
  EXPECT_NE(of(net), of("input x float32 2\nconst w float32 2 = 1 3\ny = Add(x, w)\noutput y\n"));
  EXPECT_NE(of(net), of("input x float32 2\nconst w float32 2 = 1 2\ny = Sub(x, w)\noutput y\n"));
  EXPECT_NE(of(net), of("input x float32 2\nconst w float32 2 = 1 2\nz = Add(x, w)\noutput z\n"));
}

// ---- Nodes ---------------------------------------------------------------------------------------

const std::string kConstants = "const b float32 2 = 0.5 -0.5\nconst w float32 2x2x1x1 = 127 -1 63.5 0.5\n";
// Of what is rounded: 63.5 is the second channel's largest, 0.5 its 127th part.
const std::string kRounded = "const w.int8 float32 2x2x1x1 = 127 -1 63.5 0.5\n";

std::string quantised(const std::string& text, const Calibration& calibration) {
  Graph graph = parse_graph(text);
  (void)quantise(graph, calibration, {});
  verify(graph);
  (void)infer_types(graph);
  return to_text(graph);
}

// The same text, with constants in order.
std::string in_order(const std::string& text) { return to_text(parse_graph(text)); }

TEST(QuantisePass, TheFirstLayerAndTheLastStayFloat32) {
  const Calibration calibration{0, {{"a", {0, 255}}, {"c", {0, 510}}, {"p", {0, 510}}, {"d", {-1, 1}}}, {}, {}};
  EXPECT_EQ(quantised("input x float32 1x2x8x8\n" + kConstants + R"(
a = ConvRelu(x, w, b) {kernels=[1,1]}
c = ConvRelu(a, w, b) {kernels=[1,1]}
p = MaxPool(c) {kernel=2 stride=2}
d = Conv(p, w, b) {kernels=[1,1]}
e = Conv(d, w, b) {kernels=[1,1]}
output e)",
                      calibration),
            in_order("input x float32 1x2x8x8\n" + kConstants + kRounded + R"(
a = ConvRelu(x, w, b) {kernels=[1,1]}
a.uint8 = Reorder(a) {dtype=uint8 scale=1.0}
c = ConvRelu(a.uint8, w.int8, b) {kernels=[1,1] y_dtype=uint8 y_scale=2.0}
p = MaxPool(c) {kernel=2 stride=2}
d = Conv(p, w.int8, b) {kernels=[1,1]}
e = Conv(d, w, b) {kernels=[1,1]}
output e)"));
}

TEST(QuantisePass, AddendsAreQuantisedAndOutputsOfTheNetAreNot) {
  const Calibration calibration{0, {{"a", {0, 255}}, {"c", {-127, 1}}, {"d", {0, 510}}}, {}, {}};
  EXPECT_EQ(quantised("input x float32 1x2x8x8\n" + kConstants + R"(
a = ConvRelu(x, w, b) {kernels=[1,1]}
c = Conv(a, w, b) {kernels=[1,1]}
d = ConvAddRelu(a, w, b, c) {kernels=[1,1]}
e = Conv(d, w, b) {kernels=[1,1]}
f = Conv(e, w, b) {kernels=[1,1]}
output d
output f)",
                      calibration),
            in_order("input x float32 1x2x8x8\n" + kConstants + kRounded + R"(
a = ConvRelu(x, w, b) {kernels=[1,1]}
a.uint8 = Reorder(a) {dtype=uint8 scale=1.0}
c = Conv(a.uint8, w.int8, b) {kernels=[1,1] y_dtype=int8 y_scale=1.0}
d.uint8 = ConvAddRelu(a.uint8, w.int8, b, c) {kernels=[1,1] y_dtype=uint8 y_scale=2.0}
d = Reorder(d.uint8) {dtype=float32}
e = Conv(d.uint8, w.int8, b) {kernels=[1,1]}
f = Conv(e, w, b) {kernels=[1,1]}
output d
output f)"));
}

TEST(QuantisePass, OthersThanLayersReadFloat32) {
  const Calibration calibration{0, {{"a", {0, 255}}, {"c", {0, 255}}, {"s", {0, 255}}}, {}, {}};
  EXPECT_EQ(quantised("input x float32 1x2x8x8\n" + kConstants + R"(
a = ConvRelu(x, w, b) {kernels=[1,1]}
c = ConvRelu(a, w, b) {kernels=[1,1]}
s = Add(c, a)
d = Conv(s, w, b) {kernels=[1,1]}
e = Conv(d, w, b) {kernels=[1,1]}
output e)",
                      calibration),
            in_order("input x float32 1x2x8x8\n" + kConstants + kRounded + R"(
a = ConvRelu(x, w, b) {kernels=[1,1]}
a.uint8 = Reorder(a) {dtype=uint8 scale=1.0}
c = ConvRelu(a.uint8, w.int8, b) {kernels=[1,1]}
s = Add(c, a)
s.uint8 = Reorder(s) {dtype=uint8 scale=1.0}
d = Conv(s.uint8, w.int8, b) {kernels=[1,1]}
e = Conv(d, w, b) {kernels=[1,1]}
output e)"));
}

TEST(QuantisePass, KeptLayersAndThoseWithoutARangeStay) {
  const std::string net = "input x float32 1x2x8x8\n" + kConstants + R"(
a = ConvRelu(x, w, b) {kernels=[1,1]}
c = ConvRelu(a, w, b) {kernels=[1,1]}
e = Conv(c, w, b) {kernels=[1,1]}
output e)";
  EXPECT_EQ(quantised(net, {0, {{"a", {0, 1}}}, {}, {"c"}}), in_order(net));
  EXPECT_EQ(quantised(net, {0, {{"c", {0, 1}}}, {}, {}}), in_order(net));
  EXPECT_EQ(quantised(net, {0, {{"a", {0, 0}}, {"c", {0, 1}}}, {}, {}}), in_order(net));
  EXPECT_NE(quantised(net, {0, {{"a", {0, 1}}}, {}, {}}), in_order(net));
}

TEST(QuantisePass, OverlappingTransposedWindowsStayFloat32) {
  const Calibration calibration{0, {{"a", {0, 1}}, {"c", {0, 1}}}, {}, {}};
  const auto net = [](const std::string& type, int kernel) {
    const std::string side = std::to_string(kernel);
    std::string weights = "const v float32 2x2x" + side + "x" + side + " =";
    for (int i = 0; i < kernel * kernel * 4; ++i) weights += " 1";
    return "input x float32 1x2x8x8\n" + kConstants + weights + R"(
a = ConvRelu(x, w, b) {kernels=[1,1]}
c = )" + type +
           "(a, v, b) {kernels=[" + side + "," + side + "] strides=[2,2]}" + R"(
e = Conv(c, w, b) {kernels=[1,1]}
output e)";
  };
  for (const char* type : {"ConvTranspose", "ConvTransposeRelu"}) {
    EXPECT_NE(quantised(net(type, 2), calibration).find("v.int8"), std::string::npos);
    EXPECT_EQ(quantised(net(type, 3), calibration).find("v.int8"), std::string::npos);
  }
}

const char* const kOwnWeights = "const v float32 2x2x1x1 = 127 3 0.6 0.4\n";

TEST(QuantisePass, WeightsOfLayersAloneAreRoundedInTheirMemory) {
  Graph graph = parse_graph("input x float32 1x2x8x8\n" + kConstants + kOwnWeights + R"(
a = ConvRelu(x, w, b) {kernels=[1,1]}
c = ConvRelu(a, v, b) {kernels=[1,1]}
d = ConvRelu(c, v, b) {kernels=[1,1]}
e = Conv(d, w, b) {kernels=[1,1]}
output e)");
  const Tensor want = rounded_weights(graph.constants.at("v"), 0);
  const void* memory = graph.constants.at("v").raw();
  EXPECT_EQ(quantise(graph, {0, {{"a", {0, 1}}, {"c", {0, 1}}}, {}, {}}, {}), 2);
  EXPECT_FALSE(graph.constants.contains("v"));
  EXPECT_EQ(graph.constants.at("v.int8").raw(), memory);
  EXPECT_TRUE(std::ranges::equal(graph.constants.at("v.int8").values<float>(), want.values<float>()));
}

TEST(QuantisePass, WeightsThatShareTheirMemoryAreRoundedInACopy) {
  Graph graph = parse_graph("input x float32 1x2x8x8\n" + kConstants + kOwnWeights + R"(
a = ConvRelu(x, w, b) {kernels=[1,1]}
c = ConvRelu(a, v, b) {kernels=[1,1]}
d = Mul(c, u)
e = Conv(d, w, b) {kernels=[1,1]}
output e)");
  const Tensor v = graph.constants.at("v"), before = v.clone();
  graph.constants["u"] = v.with_type(f32({1, 2, 1, 1}));
  EXPECT_EQ(quantise(graph, {0, {{"a", {0, 1}}, {"c", {0, 1}}}, {}, {}}, {}), 1);
  EXPECT_TRUE(std::ranges::equal(v.values<float>(), before.values<float>()));
  EXPECT_TRUE(graph.constants.contains("v.int8"));
}

TEST(QuantisePass, WeightsReadAlongTwoAxesAreRoundedForEach) {
  Graph graph = parse_graph("input x float32 1x2x8x8\n" + kConstants + kOwnWeights + R"(
a = ConvRelu(x, w, b) {kernels=[1,1]}
c = ConvRelu(a, v, b) {kernels=[1,1]}
d = ConvTranspose(c, v, b) {kernels=[1,1]}
e = Conv(d, w, b) {kernels=[1,1]}
output e)");
  const Tensor v = graph.constants.at("v").clone();
  EXPECT_EQ(quantise(graph, {0, {{"a", {0, 1}}, {"c", {0, 1}}}, {}, {}}, {}), 2);
  verify(graph);
  for (const std::size_t axis : {0, 1}) {
    const Tensor want = rounded_weights(v, axis);
    const Tensor& have = graph.constants.at(graph.nodes.at(axis == 0 ? 2 : 3).inputs[1]);
    EXPECT_TRUE(std::ranges::equal(have.values<float>(), want.values<float>())) << axis;
  }
}

TEST(QuantisePass, WeightsThatAreAnAddendTooStay) {
  const std::string net = "input x float32 2x2x1x1\n" + kConstants + kOwnWeights + R"(
a = ConvRelu(x, w, b) {kernels=[1,1]}
c = ConvAdd(a, v, b, v) {kernels=[1,1]}
e = Conv(c, w, b) {kernels=[1,1]}
output e)";
  EXPECT_EQ(quantised(net, {0, {{"a", {0, 1}}, {"c", {0, 1}}}, {}, {}}), in_order(net));
}

TEST(QuantisePass, ACalibrationOfNothingHereIsRefused) {
  const std::string net = "input x float32 1x2x8x8\n" + kConstants + R"(
a = ConvRelu(x, w, b) {kernels=[1,1]}
c = ConvRelu(a, w, b) {kernels=[1,1]}
e = Conv(c, w, b) {kernels=[1,1]}
output e)";
  EXPECT_EQ(message_of<InvalidModel>([&] {
              (void)quantised(net, {0, {{"q", {0, 1}}}, {}, {}});
            }),
            "the calibration has no value of this net");
}

TEST(QuantisePass, NetsInFilesCannotAskForIt) {
  Graph graph = parse_graph("input x float32 1x2x8x8\n" + kConstants +
                            "y = Conv(x, w, b) {kernels=[1,1] y_dtype=int8 y_scale=1.0}\noutput y");
  run_passes(graph, import_passes(), {});
  EXPECT_FALSE(graph.nodes[0].args.contains("y_dtype"));
  EXPECT_FALSE(graph.nodes[0].args.contains("y_scale"));
}

TEST(QuantisePass, AFusedNodeComesApartInFloat32) {
  UnusedNames names(parse_graph("input x float32 1\noutput x"));
  const TensorType narrow{DType::uint8, {}, Layout::row_major, 2}, wide;
  const Node node{"ConvRelu",
                  {{"kernel", std::int64_t{1}}, {"y_dtype", std::string("uint8")}, {"y_scale", 0.5F}},
                  {"q", "w", "b"},
                  {"y"}};
  std::string text;
  for (const Node& n : expand_quantised(node, std::vector{narrow, wide, wide}, names)) text += to_text(n) + '\n';
  EXPECT_EQ(text, R"(q.float32 = Reorder(q) {dtype=float32}
y.float32.conv = Conv(q.float32, w, b) {kernel=1}
y.float32 = Relu(y.float32.conv)
y = Reorder(y.float32) {dtype=uint8 scale=0.5}
)");
}

}  // namespace
}  // namespace d2deploy
