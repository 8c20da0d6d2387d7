// Memory that runs out while a detector is loaded and predicts, and while masks are made of its prediction.
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <sstream>

#include "d2deploy/detector.h"
#include "failing_allocations.h"
#include "net_files.h"
#include "small_detector.h"

namespace d2deploy::testing {
namespace {

// Detections by their names in files, and what a head gets for each of them.
std::string named_detections() {
  return small_detector_without_outputs() + R"(bbox_nms = Copy(box)
score_nms = Copy(score)
class_nms = Copy(class)
for_heads = RoIAlign(p2, bbox_nms) {spatial_scale=1.0 pooled_h=2 pooled_w=2 aligned=1}
output bbox_nms
output score_nms
output class_nms
)";
}

std::string panoptic_fpn() {
  return named_detections() + weights("wm", "4x2x2x2", 32) + weights("bm", "2", 2) + weights("wg", "3x4x1x1", 12) +
         weights("bg", "3", 3) + R"(mask_logits = ConvTranspose(for_heads, wm, bm) {kernels=[2,2] strides=[2,2]}
mask_fcn_probs = Sigmoid(mask_logits)
sem_seg = Conv(p2, wg, bg) {kernels=[1,1]}
output mask_fcn_probs
output sem_seg
)";
}

std::string keypoint_rcnn() {
  return named_detections() + weights("wk", "4x3x2x2", 48) + weights("bk", "3", 3) +
         R"(kps_score = ConvTranspose(for_heads, wk, bk) {kernels=[2,2] strides=[2,2]}
output kps_score
)";
}

std::string retinanet() {
  return small_backbone() + weights("wl", "6x4x1x1", 24) + weights("bl", "6", 6) + weights("wd", "12x4x1x1", 48) +
         weights("bd", "12", 12) + R"(box_cls_0 = Conv(p2, wl, bl) {kernels=[1,1]}
box_delta_0 = Conv(p2, wd, bd) {kernels=[1,1]}
output box_cls_0
output box_delta_0
)";
}

std::string rpn() {
  return small_detector_without_outputs() + R"(rpn_rois = Copy(r2)
rpn_scores = Copy(q2)
output rpn_rois
output rpn_scores
)";
}

// The same net with weights so small that boxes stay in the picture.
std::string calmed(const std::string& text) {
  std::istringstream lines(text);
  std::string out, line;
  while (std::getline(lines, line)) {
    const std::size_t values = line.find('=');
    if (line.starts_with("const ") && !line.starts_with("const anchors")) {
      out += line.substr(0, values + 1);
      std::istringstream numbers(line.substr(values + 1));
      for (float number = 0; numbers >> number;) out += ' ' + std::to_string(number / 64);
    } else {
      out += line;
    }
    out += '\n';
  }
  return out;
}

struct DetectorCase {
  const char* name;
  std::string text;
  std::vector<NamedArg> attributes;
};

std::vector<DetectorCase> detectors() {
  const auto named = [](const char* meta_architecture) {
    return std::vector<NamedArg>{{"meta_architecture", std::string(meta_architecture)},
                                 {"pixel_mean", Floats{3, 4}},
                                 {"class_names", Strings{"one", "two"}},
                                 {"min_size_test", std::int64_t{12}},
                                 {"size_divisibility", std::int64_t{4}}};
  };
  auto panoptic = named("PanopticFPN"), dense = named("RetinaNet");
  for (const NamedArg& more : {NamedArg{"combine_overlap_threshold", 0.5F},
                               {"combine_stuff_area_limit", 1.0F},
                               {"combine_instances_confidence_threshold", 0.1F}})
    panoptic.push_back(more);
  for (const NamedArg& more : {NamedArg{"cell_anchors", Floats{-4, -4, 4, 4, -8, -4, 8, 4, -4, -8, 4, 8}},
                               {"anchor_strides", Floats{1}},
                               {"bbox_reg_weights", Floats{1, 1, 1, 1}},
                               {"score_threshold", 0.05F},
                               {"topk_candidates", std::int64_t{100}},
                               {"nms_threshold", 0.5F},
                               {"max_detections_per_image", std::int64_t{10}}})
    dense.push_back(more);
  return {{"panoptic", calmed(panoptic_fpn()), panoptic},
          {"keypoints", calmed(keypoint_rcnn()), named("GeneralizedRCNN")},
          {"retinanet", calmed(retinanet()), dense},
          {"proposals", calmed(rpn()), named("GeneralizedRCNN")}};
}

Detector load(const NetFiles& files) {
  DetectorOptions options;
  options.model.threads = 1;  // OpenMP itself ends the process where it finds no memory
  options.sem_seg = options.keypoint_maps = true;
  return Detector::load(files.predict, files.init, options);
}

// A picture that is enlarged and padded.
constexpr std::int64_t kHeight = 6, kWidth = 7;
ImageView picture() {
  static const auto pixels = [] {
    std::array<std::uint8_t, kHeight * kWidth * 2> out{};
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(i * 37 % 5);
    return out;
  }();
  return {pixels.data(), kHeight, kWidth, kWidth * 2, 2, ChannelOrder::as_is};
}

template <class T>
void append(std::string& text, const std::vector<T>& values) {
  text.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}
void append(std::string& text, const Tensor& tensor) {
  if (tensor.raw() != nullptr)
    text.append(static_cast<const char*>(tensor.raw()), static_cast<std::size_t>(tensor.bytes()));
}

std::string bits(const Prediction& found) {
  std::string text;
  append(text, found.boxes);
  append(text, found.scores);
  append(text, found.classes);
  append(text, found.masks);
  append(text, found.keypoints);
  append(text, found.keypoint_maps);
  append(text, found.sem_seg);
  append(text, found.panoptic_map);
  for (const Segment& segment : found.segments) text += std::to_string(segment.area) + ' ';
  return text;
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
