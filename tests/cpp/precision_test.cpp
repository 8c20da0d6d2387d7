// What a model runs in where another precision than float32 is asked for.
#include <cstdlib>

#include "kernels/instruction_sets.h"
#include "message_of.h"
#include "net_run.h"

using namespace d2deploy;

namespace {

// Sets a variable of the environment, until it goes.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) { EXPECT_EQ(setenv(name, value, 1), 0); }
  ~Environment() { EXPECT_EQ(unsetenv(name_), 0); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};
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

// A handful of roundings to bfloat16, each of 2^-8, of values of a few units.
constexpr float kReduced = 0x1p-5F;

float largest_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.type(), b.type());
  float most = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) most = std::max(most, std::fabs(a.data<float>()[i] - b.data<float>()[i]));
  return most;
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
  const auto model = model_of(kReducedNet, options);
  Session session(model);
  for (const std::int64_t size : {8, 32, 10, 8}) {
    const Tensors inputs{{"x", noise({1, 16, size, size + 2})}};
    const auto want = outputs_by_evaluation(kReducedNet, inputs);
    EXPECT_LT(largest_difference(session.run(inputs).at("y"), want.at("y")), kReduced) << size;
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
