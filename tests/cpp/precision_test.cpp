// What a model runs in where another precision than float32 is asked for.
#include <cstdlib>

#include "environment.h"
#include "kernels/convert.h"
#include "kernels/instruction_sets.h"
#include "message_of.h"
#include "net_run.h"

using namespace d2deploy;

namespace {

// Computes in bfloat16 on any CPU.
struct Emulated : Environment {
  Emulated() : Environment("D2DEPLOY_EMULATE", "bfloat16") {}
};

// What a model of two convolutions says and does when it is asked for a precision.
struct Loaded {
  std::string precision, text;
  std::vector<std::string> warnings;
};
Loaded loaded_in(const char* precision) {
  Loaded loaded;
  ModelOptions options;
  options.precision = precision;
  options.log = [&](LogLevel level, std::string_view text) {
    if (level == LogLevel::warning) loaded.warnings.emplace_back(text);
  };
  const auto model = model_of(
      "input x float32 1x2x8x8\nconst w float32 2x2x1x1 = 1 2 3 4\nconst b float32 2 = 1 2\n"
      "c = Conv(x, w, b) {kernel=1}\ny = Conv(c, w, b) {kernel=1}\noutput y",
      options);
  loaded.precision = model->options().precision;
  loaded.text = model->graph_text();
  return loaded;
}

TEST(Precision, IsBFloat16WhereTheCpuHasIt) {
  ASSERT_EQ(unsetenv("D2DEPLOY_EMULATE"), 0);
  const Loaded found = loaded_in("bfloat16");
  const Emulated emulation;
  const Loaded emulated = loaded_in("bfloat16");
  EXPECT_EQ(emulated.precision, "bfloat16");
  EXPECT_TRUE(emulated.warnings.empty());
  EXPECT_NE(emulated.text.find("dtype=bfloat16"), std::string::npos) << emulated.text;
  if (has_bfloat16() && found.warnings.empty()) {
    EXPECT_EQ(found.text, emulated.text);
    return;
  }
  EXPECT_EQ(found.precision, "float32");
  ASSERT_EQ(found.warnings.size(), 1U);
  EXPECT_TRUE(found.warnings[0].starts_with("precision bfloat16 would be slower than float32 here: "));
  EXPECT_EQ(found.text.find("bfloat16"), std::string::npos) << found.text;
}

TEST(Precision, IsFloat32WhereTheCpuHasNoInt8) {
  ASSERT_EQ(unsetenv("D2DEPLOY_EMULATE"), 0);
  const Environment old_cpu("D2DEPLOY_INSTRUCTION_SET", "baseline");
  const Loaded found = loaded_in("int8");
  EXPECT_EQ(found.precision, "float32");
  ASSERT_EQ(found.warnings.size(), 1U);
  EXPECT_EQ(found.warnings[0],
            "precision int8 would be slower than float32 here: the CPU has no VNNI. Running in float32; "
            "D2DEPLOY_EMULATE=int8 computes in int8 all the same");
  EXPECT_EQ(found.text.find("int8"), std::string::npos) << found.text;
  const Environment emulation("D2DEPLOY_EMULATE", "int8");
  EXPECT_NE(message_of<InvalidArgument>([] { (void)loaded_in("int8"); }).find("needs a calibration"),
            std::string::npos);
}

TEST(Precision, IsToldOnce) {
  ASSERT_EQ(unsetenv("D2DEPLOY_EMULATE"), 0);
  ModelOptions options;
  options.precision = "bfloat16";
  int warnings = 0;
  options.log = [&](LogLevel level, std::string_view) { warnings += level == LogLevel::warning ? 1 : 0; };
  const std::filesystem::path folder = D2DEPLOY_EXAMPLES "/mask_rcnn";
  const auto model = Model::load(folder / "model.pb", folder / "model_init.pb", options);
  EXPECT_EQ(warnings, model->options().precision == "float32" ? 1 : 0);
}

// The graph with filters and biases that leave values about as large as they were.
Graph with_weights(const std::string& text) {
  Graph graph = parse_graph(text);
  unsigned seed = 0;
  for (auto& [name, constant] : graph.constants) {
    const Shape shape = constant.shape();
    const auto summands = static_cast<float>(shape.size(1, shape.rank()));
    constant = noise(shape, ++seed);
    for (std::int64_t i = 0; i < constant.size(); ++i) constant.data<float>()[i] *= std::sqrt(3 / summands);
  }
  return graph;
}

// The root of the mean squared difference, as a share of that of the values.
double relative_error(const Tensor& have, const Tensor& want) {
  EXPECT_EQ(have.type(), want.type());
  double error = 0, all = 0;
  for (std::int64_t i = 0; i < want.size(); ++i) {
    const double w = want.data<float>()[i], d = have.data<float>()[i] - w;
    error += d * d;
    all += w * w;
  }
  return std::sqrt(error / all);
}

const char* const kReducedNet =
    "input x float32 ?x16x?x?\n"
    "const w float32 16x16x3x3\nconst v float32 16x16x1x1\nconst b float32 16\nconst u float32 3x16x1x1\n"
    "const d float32 3\n"
    "c = Conv(x, w, b) {kernel=3 pad=1}\nr = Relu(c)\np = MaxPool(r) {kernel=2 stride=2}\n"
    "e = Conv(p, v, b) {kernel=1}\ng = UpsampleNearest(e) {scale=2}\ns = Sum(g, r)\n"
    "y = Conv(s, u, d) {kernel=1}\noutput y";

// The plain weights go once they are packed in bfloat16; plans of other sizes want the same packed form, or another.
TEST(Precision, ImagesOfSeveralSizesShareWeightsInBFloat16) {
  const Emulated emulation;
  ModelOptions options;
  options.precision = "bfloat16";
  const Graph graph = with_weights(kReducedNet);
  Session session(Model::Impl::make(Graph(graph), options));
  constexpr double kHandful = 0x1p-7;  // of roundings of 2^-9 at most
  for (const std::int64_t size : {8, 32, 10, 8}) {
    const Tensors inputs{{"x", noise({1, 16, size, size + 2})}};
    const auto want = outputs_by_evaluation(graph, inputs);
    const double error = relative_error(session.run(inputs).at("y"), want.at("y"));
    EXPECT_LT(error, kHandful) << size;
    EXPECT_GT(error, kHandful / 16) << size;  // in bfloat16 indeed
  }
}

#ifdef D2DEPLOY_TEST_ONEDNN
// No value between the first convolution and the last is float32, and no kernel works on widened copies.
TEST(Precision, NothingBetweenIsWidened) {
  if (!has_avx512()) GTEST_SKIP() << "oneDNN has bfloat16 for AVX-512 alone";
  const Emulated emulation;
  ModelOptions options;
  options.precision = "bfloat16";
  const auto model = model_of(kReducedNet, options);
  const auto nodes = model->profile({{"x", {DType::float32, {1, 16, 32, 32}}}});
  int reorders = 0;
  for (const NodeProfile& node : nodes) {
    EXPECT_EQ(node.kernel.find("widened"), std::string::npos) << node.type << ' ' << node.kernel;
    reorders += node.type == "Reorder" ? 1 : 0;
  }
  EXPECT_LE(reorders, 2);  // x, and the layout of y
}
#endif

Tensor rounded(const Tensor& x) {
  Tensor reduced = Tensor::allocate({DType::bfloat16, x.shape()}), wide = Tensor::allocate(x.type());
  convert(x.dtype(), x.raw(), DType::bfloat16, reduced.raw(), x.size());
  convert(DType::bfloat16, reduced.raw(), x.dtype(), wide.raw(), x.size());
  return wide;
}

// Each node by its portable kernel, on rounded filters, and each result but the last rounded.
Tensor rounded_everywhere(const Graph& graph, Tensors values) {
  for (auto& [name, x] : values) x = rounded(x);
  for (const auto& [name, constant] : graph.constants)
    values[name] = constant.shape().rank() > 1 ? rounded(constant) : constant;
  for (const Node& node : graph.nodes) {
    std::vector<Tensor> in;
    for (const auto& x : node.inputs) in.push_back(values.at(x));
    const Tensor y = evaluate(*find_operator(node.type), node.args, in).at(0);
    values[node.outputs[0]] = node.outputs[0] == graph.outputs[0] ? y : rounded(y);
  }
  return values.at(graph.outputs[0]);
}

// Sums are float32, and what is fused is rounded once: the error of a deep net is less than that of rounding its
// filters and the result of every node.
TEST(Precision, OfADeepNetIsBetterThanRoundingEveryResult) {
  std::string text = "input x float32 1x16x24x24\nconst w float32 16x16x3x3\nconst b float32 16\n";
  std::string nodes = "c = Conv(x, w, b) {kernel=3 pad=1}\nx0 = Relu(c)\n";
  constexpr int kBlocks = 8;
  for (int i = 0; i < kBlocks; ++i) {
    const std::string n = std::to_string(i), x = "x" + n;
    text += "const w" + n + " float32 16x16x3x3\nconst v" + n + " float32 16x16x1x1\nconst b" + n + " float32 16\n";
    nodes += "c" + n + " = Conv(" + x + ", w" + n + ", b" + n + ") {kernel=3 pad=1}\nr" + n + " = Relu(c" + n + ")\ne" +
             n + " = Conv(r" + n + ", v" + n + ", b" + n + ") {kernel=1}\ns" + n + " = Add(e" + n + ", " + x + ")\nx" +
             std::to_string(i + 1) + " = Relu(s" + n + ")\n";
  }
  text += "const u float32 4x16x1x1\nconst d float32 4\n" + nodes + "y = Conv(x" + std::to_string(kBlocks) +
          ", u, d) {kernel=1}\noutput y";
  const Tensors inputs{{"x", noise({1, 16, 24, 24})}};
  const Graph graph = with_weights(text);
  const Tensor want = outputs_by_evaluation(graph, inputs).at("y");
  const Emulated emulation;
  ModelOptions options;
  options.precision = "bfloat16";
  Session session(Model::Impl::make(Graph(graph), options));
  const double error = relative_error(session.run(inputs).at("y"), want);
  const double bound = relative_error(rounded_everywhere(graph, inputs), want);
  EXPECT_LT(error, 0.97 * bound);
  EXPECT_GT(error, 0.5 * bound);  // in bfloat16 indeed
}

// Rounded values may stand in for the plain ones where nobody needs these.
TEST(Constants, InASmallerTypeComeBackRoundedOnlyToThoseWhoRound) {
  const auto pack = [](const Tensor& plain) -> Constant::Packed {
    return {std::make_shared<float>(0.0F), 2, [plain] { return plain; }, true};
  };
  const auto taken = [&](Constant& constant) { return constant.packed("small", "kernel", pack); };
  Constant alone(Tensor::of<float>({2}, {1, 2})), read(Tensor::of<float>({2}, {1, 2}));
  (void)taken(alone);
  EXPECT_FALSE(alone.forms()[0].exact);
  alone.drop_plain();
  EXPECT_EQ(alone.plain().data<float>()[1], 2);
  alone.drop_plain();  // now somebody reads them as they are
  const float* values = read.plain().data<float>();
  (void)taken(read);
  read.drop_plain();
  EXPECT_EQ(read.plain().data<float>(), values);  // not dropped: the same memory
}

}  // namespace
