// Memory that runs out while a detector is loaded and predicts, and while masks are made of its prediction.
#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "d2deploy/detector.h"
#include "failing_allocations.h"
#include "net_files.h"
#include "prediction_bits.h"
#include "small_detectors.h"

namespace d2deploy::testing {
namespace {

Detector load(const NetFiles& files) {
  DetectorOptions options;
  options.model.threads = 1;  // OpenMP itself ends the process where it finds no memory
  options.sem_seg = options.keypoint_maps = true;
  return Detector::load(files.predict, files.init, options);
}

// The message of the InvalidArgument that `f` throws.
template <class F>
std::string refusal(const F& f) {
  try {
    f();
  } catch (const InvalidArgument& e) {
    end_failures();
    return e.what();
  }
  return {};
}

class DetectorOutOfMemory : public ::testing::TestWithParam<bool> {};

// The anchors of a file that Detectron2 wrote, which has them as PyTorch saves modules.
NamedArg saved_anchors() {
  std::ifstream file(std::filesystem::path(D2DEPLOY_TEST_DATA) / "detectron2/retinanet_v04/model.pb", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  Net net;
  EXPECT_TRUE(net.def.ParseFromString(bytes));
  for (const auto& argument : net.def.arg())
    if (argument.name() == "serialized_anchor_generator") return {argument.name(), argument.s()};
  ADD_FAILURE() << "the file has no anchors";
  return {};
}

TEST_P(DetectorOutOfMemory, Loading) {
  auto nets = detectors();
  DetectorCase& pickled = nets.emplace_back(nets[2]);
  std::erase_if(pickled.attributes, [](const NamedArg& a) { return a.name == "cell_anchors"; });
  pickled.attributes.push_back(saved_anchors());
  for (const DetectorCase& net : nets) {
    const NetFiles files(net.text, net.attributes);
    const auto call = [&] { return std::to_string(done(load(files)).class_names().size()); };
    EXPECT_GT(fail_one_after_the_other(net.name, call, GetParam(), 200), 500) << net.name;
  }
}

// The first prediction of a detector, which plans, and the next one.
TEST_P(DetectorOutOfMemory, TheFirstPrediction) {
  for (const DetectorCase& net : detectors()) {
    const NetFiles files(net.text, net.attributes);
    const Detector alone = load(files);
    std::string want;
    const std::int64_t all = allocations_of([&] { return want = bits(done(alone.predict(picture()))); });
    EXPECT_GT(alone.predict(picture()).count(), 0) << net.name;
    Places places(all, 100);
    for (bool failed = true; failed && !HasFailure();) {
      const Detector detector = load(files);
      const std::int64_t at = places.next();
      const Outcome outcome = attempt([&] { return bits(done(detector.predict(picture()))); }, at, GetParam());
      expect_right(net.name, at, outcome, want);
      EXPECT_TRUE(bits(detector.predict(picture())) == want) << net.name << ": after allocation " << at;
      failed = outcome.failed;
    }
  }
}

TEST_P(DetectorOutOfMemory, LaterPredictions) {
  for (const DetectorCase& net : detectors()) {
    const NetFiles files(net.text, net.attributes);
    const Detector detector = load(files);
    (void)detector.predict(picture());
    constexpr auto kAll = std::numeric_limits<std::int64_t>::max();
    const auto one = [&] { return bits(done(detector.predict(picture()))); };
    EXPECT_GT(fail_one_after_the_other(net.name, one, GetParam(), kAll), 10) << net.name;
    const std::array<ImageView, 2> images{picture(), picture()};
    const auto two = [&] {
      const auto found = done(detector.predict(images));
      return bits(found[0]) + bits(found[1]);
    };
    EXPECT_GT(fail_one_after_the_other(net.name, two, GetParam(), kAll), 20) << net.name;
    Tensor resized = Tensor::allocate({DType::float32, {2, 12, 14}});
    for (std::int64_t i = 0; i < resized.size(); ++i) resized.data<float>()[i] = static_cast<float>(i * 37 % 5);
    const auto given = [&] { return bits(done(detector.predict_resized(resized, {kHeight, kWidth}))); };
    EXPECT_GT(fail_one_after_the_other(net.name, given, GetParam(), kAll), 5) << net.name;
    const auto empty = [&] { return refusal([&] { (void)detector.predict(ImageView{}); }); };
    EXPECT_GT(fail_one_after_the_other(net.name, empty, GetParam(), kAll), 0) << net.name;
    EXPECT_EQ(empty(), "the image is empty: 0 x 0 pixels of 3 channels");
  }
}

TEST_P(DetectorOutOfMemory, MasksOfAPrediction) {
  const DetectorCase net = detectors()[0];
  const Prediction found = load(NetFiles(net.text, net.attributes)).predict(picture());
  std::int64_t pixels = 0;
  for (std::int64_t i = 0; i < found.count(); ++i) pixels += area(found.mask_run_lengths(i));
  EXPECT_GT(pixels, 0);
  const auto all = [&](const char* what, const Answer& call) {
    EXPECT_GT(fail_one_after_the_other(what, call, GetParam(), std::numeric_limits<std::int64_t>::max()), 0) << what;
  };
  const auto text = [](const auto& values) {
    std::string out;
    append(out, values);
    return out;
  };
  for (std::int64_t i = 0; i < found.count(); ++i) {
    all("mask", [&] { return text(done(found.mask(i))); });
    all("mask_run_lengths", [&] { return text(done(found.mask_run_lengths(i)).counts); });
    all("mask_polygons", [&] {
      const Polygons outlines = done(found.mask_polygons(i));
      return outlines.empty() ? std::string() : text(outlines[0]);
    });
  }
  all("box", [&] { return refusal([&] { (void)found.box(found.count()); }); });
}

// Bitmaps and codes that are large enough to be worth their memory.
TEST_P(DetectorOutOfMemory, RunLengths) {
  constexpr std::int64_t kSide = 300;
  std::vector<std::uint8_t> bitmap(kSide * kSide);
  for (std::size_t i = 0; i < bitmap.size(); ++i) bitmap[i] = i % 7 < 3 ? 1 : 0;
  const RunLengths runs = run_lengths(bitmap, kSide, kSide);
  const auto all = [&](const char* what, const Answer& call) {
    EXPECT_GT(fail_one_after_the_other(what, call, GetParam(), std::numeric_limits<std::int64_t>::max()), 0) << what;
  };
  all("run_lengths", [&] { return std::to_string(done(run_lengths(bitmap, kSide, kSide)).counts.size()); });
  all("to_bitmap", [&] { return std::to_string(done(to_bitmap(runs)) == bitmap); });
  all("to_coco_string", [&] { return done(to_coco_string(runs)); });
  all("polygons", [&] { return std::to_string(done(polygons(runs)).size()); });
}

// Pixels of one picture, resized, and as a gray model gets them.
TEST_P(DetectorOutOfMemory, Pictures) {
  std::vector<std::uint8_t> pixels(std::size_t{3} * 40 * 50);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 37);
  const ImageView image{pixels.data(), 40, 50, 150};
  const auto all = [&](const char* what, const Answer& call) {
    EXPECT_GT(fail_one_after_the_other(what, call, GetParam(), std::numeric_limits<std::int64_t>::max()), 0) << what;
  };
  std::vector<std::uint8_t> resized(std::size_t{3} * 30 * 70);
  all("resize", [&] {
    resize(image, {30, 70}, resized.data(), 210, 1);
    end_failures();
    std::string out;
    append(out, resized);
    return out;
  });
  const InputRule gray{ChannelOrder::gray, 1, {5}, 0, 1000, 32};
  all("to_net_inputs", [&] {
    const NetInputs inputs = done(to_net_inputs({&image, 1}, gray));
    std::string out;
    append(out, inputs.data);
    return out;
  });
}

INSTANTIATE_TEST_SUITE_P(One, DetectorOutOfMemory, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(AllThatFollow, DetectorOutOfMemory, ::testing::Values(true));

}  // namespace
}  // namespace d2deploy::testing
