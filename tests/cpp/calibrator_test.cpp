// A calibration from files to a net in int8, and what goes wrong on the way.
#include "d2deploy/calibrator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "io/calibration_file.h"
#include "message_of.h"
#include "net_files.h"
#include "net_run.h"
#include "small_detector.h"

namespace d2deploy::testing {
namespace {

// A residual block between a first layer and a last one; its pool is what light nodes are.
std::string small_net() {
  return "input data float32 ?x3x?x?\n" + weights("w1", "8x3x3x3", 216) + weights("b1", "8", 8) +
         weights("w2", "8x8x3x3", 576) + weights("b2", "8", 8) + weights("w3", "8x8x1x1", 64) + weights("b3", "8", 8) +
         R"(c1 = Conv(data, w1, b1) {kernel=3 pad=1}
r1 = Relu(c1)
p = MaxPool(r1) {kernel=2 stride=2}
c2 = Conv(p, w2, b2) {kernel=3 pad=1}
r2 = Relu(c2)
c3 = Conv(r2, w3, b3) {kernel=1}
s = Add(c3, p)
r3 = Relu(s)
c4 = Conv(r3, w2, b2) {kernel=3 pad=1}
y = Conv(c4, w3, b3) {kernel=1}
output y
output r3
)";
}

class CalibratorTest : public ::testing::Test {
 protected:
  // What int8 computes must show on CPUs too that would rather run float32.
  CalibratorTest() { EXPECT_EQ(setenv("D2DEPLOY_EMULATE", "int8", 1), 0); }
  ~CalibratorTest() override { EXPECT_EQ(unsetenv("D2DEPLOY_EMULATE"), 0); }

  std::filesystem::path file() const { return files_.folder / "calibration.txt"; }
  Calibrator calibrator(float most_error = 0.1F) const { return {files_.predict, files_.init, {1, most_error}}; }
  void calibrate(float most_error = 0.1F) const {
    Calibrator calibrator = this->calibrator(most_error);
    for (unsigned seed = 1; seed < 4; ++seed) calibrator.observe(picture(seed));
    calibrator.measure(picture(1));
    calibrator.write(file());
  }
  static Tensors picture(unsigned seed) { return {{"data", noise({1, 3, 16, 20}, seed)}}; }
  std::shared_ptr<const Model> load(const std::string& precision, const std::string& kernels = "") const {
    ModelOptions options;
    options.precision = precision;
    options.threads = 1;
    options.kernels = kernels;
    return Model::load(files_.predict, files_.init, options);
  }
  template <class E>
  std::string refusal() const {
    return message_of<E>([&] { (void)load("int8"); });
  }

  NetFiles files_{small_net()};
};

Tensors outputs(const std::shared_ptr<const Model>& model, const Tensors& inputs) {
  Session session(model);
  return cloned(session.run(inputs));
}

// Of the L2 norm.
double relative_error(const Tensor& is, const Tensor& wanted) {
  double gap = 0, all = 0;
  for (std::int64_t i = 0; i < wanted.size(); ++i) {
    gap += std::pow(static_cast<double>(is.data<float>()[i]) - wanted.data<float>()[i], 2);
    all += std::pow(static_cast<double>(wanted.data<float>()[i]), 2);
  }
  return std::sqrt(gap / all);
}

TEST_F(CalibratorTest, ANetInInt8IsCloseToFloat32) {
  calibrate();
  const auto model = load("int8");
  const auto exact = outputs(load("float32"), picture(7)), have = outputs(model, picture(7));
  for (const auto& [name, wanted] : exact) {
    EXPECT_EQ(have.at(name).type(), wanted.type()) << name;
    EXPECT_LT(relative_error(have.at(name), wanted), 0.03) << name;
    EXPECT_GT(relative_error(have.at(name), wanted), 1e-5) << name << ": is it in int8?";
  }
  EXPECT_NE(model->graph_text().find("y_dtype=uint8"), std::string::npos) << model->graph_text();
}

TEST_F(CalibratorTest, PortableKernelsAndTheBestComputeTheSame) {
  calibrate();
  const auto best = outputs(load("int8"), picture(7));
  const auto portable = outputs(load("int8", "ConvRelu=direct_f32_widened,ConvAddRelu=direct_f32_widened"), picture(7));
  // A sum on a tie may fall to either side, and moves what follows by a quantum.
  for (const auto& [name, wanted] : best) EXPECT_LT(relative_error(portable.at(name), wanted), 0.01) << name;
}

TEST_F(CalibratorTest, SizesThatWereNotSeenRunToo) {
  calibrate();
  const Tensors other{{"data", noise({2, 3, 9, 33}, 3)}};
  const auto exact = outputs(load("float32"), other), have = outputs(load("int8"), other);
  for (const auto& [name, wanted] : exact) EXPECT_LT(relative_error(have.at(name), wanted), 0.1) << name;
}

TEST_F(CalibratorTest, LayersAreMeasured) {
  Calibrator calibrator = this->calibrator();
  EXPECT_EQ(calibrator.inputs(), (std::vector<std::string>{"data"}));
  calibrator.observe(picture(1));
  EXPECT_TRUE(calibrator.layers().empty());
  calibrator.measure(picture(1));
  std::vector<std::string> names;
  for (const auto& layer : calibrator.layers()) {
    names.push_back(layer.output);
    EXPECT_GT(layer.error, 1e-4) << layer.output;
    EXPECT_LT(layer.error, 0.05) << layer.output;
    EXPECT_FALSE(layer.stays_float32);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"r2", "r3", "c4"}));
}

TEST_F(CalibratorTest, LayersWithALargeErrorStayFloat32) {
  calibrate(0);
  EXPECT_EQ(read_calibration(file()).kept, (std::set<std::string>{"r2", "r3", "c4"}));
  EXPECT_TRUE(same_bits(outputs(load("int8"), picture(7)), outputs(load("float32"), picture(7))));
}

TEST_F(CalibratorTest, WithoutACalibrationTheMessageHasTheCommand) {
  EXPECT_NE(refusal<InvalidArgument>().find("precision 'int8' needs a calibration: there is no " + file().string() +
                                            "; make one with: d2deploy calibrate " + files_.folder.string() +
                                            " --images FOLDER"),
            std::string::npos)
      << refusal<InvalidArgument>();
}

TEST_F(CalibratorTest, AForeignOrDamagedCalibrationIsRefused) {
  calibrate();
  Calibration calibration = read_calibration(file());
  ++calibration.model;
  write_calibration(calibration, file());
  EXPECT_NE(refusal<InvalidModel>().find("is the calibration of another model, or of other weights"),
            std::string::npos);
  std::ofstream(file()) << "d2deploy calibration 1\nmodel 0\n";
  EXPECT_NE(refusal<InvalidModel>().find("calibration.txt: line 2: '0' is not a number of 16"), std::string::npos);
  std::filesystem::remove(file());
  std::filesystem::create_directory(file());
  EXPECT_NE(refusal<InvalidArgument>().find("is a directory"), std::string::npos);
}

TEST_F(CalibratorTest, HugeRangesStayFloat32) {
  calibrate();
  Calibration calibration = read_calibration(file());
  for (auto& [name, range] : calibration.ranges) range = {-3e38F, 3e38F};
  write_calibration(calibration, file());
  EXPECT_TRUE(same_bits(outputs(load("int8"), picture(7)), outputs(load("float32"), picture(7))));
}

TEST_F(CalibratorTest, WrongUseIsRefused) {
  Calibrator calibrator = this->calibrator();
  EXPECT_EQ(message_of<InvalidArgument>([&] { calibrator.measure(picture(1)); }),
            "no picture was observed; give some to observe() before any to measure()");
  EXPECT_EQ(message_of<InvalidArgument>([&] { calibrator.write(file()); }),
            "no picture was observed; there is nothing to write");
  Tensors infinite = picture(1);
  infinite["data"].data<float>()[5] = std::numeric_limits<float>::infinity();
  EXPECT_NE(message_of<InvalidModel>([&] { calibrator.observe(infinite); }).find("gives numbers that are not finite"),
            std::string::npos);
  EXPECT_EQ(message_of<InvalidArgument>([&] { calibrator.measure(picture(1)); }),
            "no picture was observed; give some to observe() before any to measure()");
  calibrator.observe(picture(1));
  EXPECT_NE(message_of<InvalidArgument>([&] { calibrator.write(file() / "no" / "folder"); }).find("cannot be written"),
            std::string::npos);
  EXPECT_NE(message_of<InvalidArgument>([&] { (void)this->calibrator(-1); }).find("most_error is -1"),
            std::string::npos);
}

TEST_F(CalibratorTest, NodesAsInTheFileHaveNoInt8) {
  calibrate();
  ModelOptions options;
  options.precision = "int8";
  options.optimize = false;
  EXPECT_NE(message_of<Unsupported>([&] {
              (void)Model::load(files_.predict, files_.init, options);
            }).find("needs the passes"),
            std::string::npos);
}

}  // namespace
}  // namespace d2deploy::testing
