// The Detector on the example model: from pictures to predictions.
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "core/check.h"
#include "d2deploy/detector.h"
#include "detector/input_rule.h"
#include "detector/prediction.h"
#include "message_of.h"
#include "net_files.h"
#include "picture.h"
#include "prediction_bits.h"
#include "small_detectors.h"

namespace d2deploy::testing {
namespace {

const std::filesystem::path kExample = std::filesystem::path(D2DEPLOY_EXAMPLES) / "mask_rcnn";
const Picture kPicture(4, 1);

Detector detector(DetectorOptions options = {}) {
  options.model.threads = 1;
  options.min_size = 256;  // the picture grows
  return Detector::load(kExample, options);
}

void expect_equal(const Prediction& a, const Prediction& b) {
  EXPECT_EQ(a.size, b.size);
  EXPECT_EQ(a.boxes, b.boxes);
  EXPECT_EQ(a.scores, b.scores);
  EXPECT_EQ(a.classes, b.classes);
  const auto values = [](const Tensor& t) { return std::vector(t.values<float>().begin(), t.values<float>().end()); };
  EXPECT_EQ(values(a.masks), values(b.masks));
}

TEST(Detector, ResizesAsTheModelWants) {
  const Detector found = detector();
  const Size size{256, 341};
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size.height * size.width * 3));
  resize(kPicture.view(), size, bytes.data(), size.width * 3, 1);
  Tensor planes = Tensor::allocate({DType::uint8, {3, size.height, size.width}});
  for (std::int64_t i = 0; i < size.height * size.width * 3; ++i)
    planes.data<std::uint8_t>()[i % 3 * size.height * size.width + i / 3] = bytes[static_cast<std::size_t>(i)];
  const Prediction a = found.predict(kPicture.view());
  EXPECT_GT(a.count(), 0);
  EXPECT_EQ(a.size, (Size{Picture::height, Picture::width}));
  expect_equal(a, found.predict_resized(planes, {Picture::height, Picture::width}));
}

TEST(Detector, BoxesLieInThePictureAndScoresFall) {
  const Prediction found = detector().predict(kPicture.view());
  for (std::int64_t i = 0; i < found.count(); ++i) {
    const auto box = found.box(i);
    EXPECT_TRUE(box[0] >= 0 && box[1] >= 0 && box[2] <= Picture::width && box[3] <= Picture::height);
    EXPECT_TRUE(box[0] < box[2] && box[1] < box[3]);
    EXPECT_TRUE(i == 0 || found.scores[static_cast<std::size_t>(i)] <= found.scores[static_cast<std::size_t>(i - 1)]);
  }
}

TEST(Detector, MasksOfAllFormsAgree) {
  const Prediction found = detector().predict(kPicture.view());
  std::int64_t pixels = 0;
  for (std::int64_t i = 0; i < found.count(); ++i) {
    const RunLengths runs = found.mask_run_lengths(i);
    EXPECT_EQ(found.mask(i), to_bitmap(runs));
    EXPECT_EQ(found.mask_polygons(i), polygons(runs));
    pixels += area(runs);
  }
  EXPECT_GT(pixels, 1000);
}

TEST(Detector, ChannelsAreBroughtIntoTheModelsOrder) {
  const Detector found = detector();
  const ImageView bgr = kPicture.view();
  std::vector<std::uint8_t> turned(bgr.data, bgr.data + bgr.height * bgr.row_bytes);
  for (std::size_t i = 0; i < turned.size(); i += 3) std::swap(turned[i], turned[i + 2]);
  ImageView rgb{turned.data(), bgr.height, bgr.width, bgr.row_bytes, 3, ChannelOrder::rgb};
  expect_equal(found.predict(bgr), found.predict(rgb));
  DetectorOptions options;
  options.order = ChannelOrder::rgb;  // then the same numbers mean the other order
  rgb.order = ChannelOrder::bgr;
  expect_equal(found.predict(bgr), detector(options).predict(rgb));
}

// A session has the masks of all classes, of which a prediction takes one.
TEST(Detector, ComputesTheMaskOfTheOwnClassAlone) {
  DetectorOptions options;
  options.min_size = 256;
  const auto model = Model::load(kExample / "model.pb", kExample / "model_init.pb");
  const FedImage fed = feed(kPicture.view(), input_rule_of(model->info(), options), false);
  const Tensors outputs = Session(model).run({{"data", fed.data}, {"im_info", fed.im_info}});
  ASSERT_GT(outputs.at("mask_fcn_probs").dim(1), 1);
  const Prediction want =
      OutputRule(*model).predict(outputs, {0, 1}, fed.size, {Picture::height, Picture::width}, options);
  const Detector found = detector();
  EXPECT_NE(found.model().graph_text().find("OwnClassConv"), std::string::npos);
  const Prediction have = found.predict(kPicture.view());
  EXPECT_GT(want.count(), 1);
  EXPECT_EQ(have.boxes, want.boxes);
  EXPECT_EQ(have.classes, want.classes);
  ASSERT_EQ(have.masks.shape(), want.masks.shape());
  for (std::int64_t i = 0; i < want.masks.size(); ++i)
    ASSERT_NEAR(have.masks.values<float>()[i], want.masks.values<float>()[i], 1e-5) << "element " << i;
}

TEST(DetectorThreads, ShareOne) {
  DetectorOptions options;
  options.model.threads = 1;
  options.min_size = 32;
  const Detector shared = Detector::load(kExample, options);
  const Prediction want = shared.predict(kPicture.view());
  std::vector<Prediction> found(4);
  std::vector<std::thread> threads;
  for (auto& f : found) threads.emplace_back([&] { f = shared.predict(kPicture.view()); });
  for (auto& t : threads) t.join();
  for (const auto& f : found) expect_equal(want, f);
}

TEST(Detector, EveryImageGetsWhatItGetsAlone) {
  const Detector found = detector();
  const Picture other(2, 7);
  const std::array<ImageView, 2> images{kPicture.view(), other.view()};
  const auto both = found.predict(images);
  ASSERT_EQ(both.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) expect_equal(both[i], found.predict(images[i]));
}

TEST(OutputRule, ReadsEachOfTheImagesOfARun) {
  for (const DetectorCase& net : detectors()) {
    SCOPED_TRACE(net.name);
    const NetFiles files(net.text, net.attributes);
    const auto model = Model::load(files.predict, files.init);
    const OutputRule rule(*model);
    EXPECT_TRUE(rule.tells_images_apart());
    DetectorOptions options;
    options.sem_seg = options.keypoint_maps = true;
    const InputRule input = input_rule(*model);
    const auto predictions = [&](const std::vector<ImageView>& images) {
      NetInputs in = to_net_inputs(images, input);
      Tensors given{{"data", in.data}};
      if (std::ranges::count(model->inputs(), "im_info") > 0) given.emplace("im_info", in.im_info);
      Session session(model);
      const Tensors outputs = session.run(given);
      std::vector<std::string> found;
      for (std::size_t i = 0; i < images.size(); ++i)
        found.push_back(
            bits(rule.predict(outputs, {static_cast<std::int64_t>(i), static_cast<std::int64_t>(images.size())},
                              {kHeight, kWidth}, {20, 30}, options)));
      return found;
    };
    const std::vector<ImageView> images{picture(0), picture(3), picture(5)};
    const auto together = predictions(images);
    EXPECT_NE(together[0], together[1]);
    EXPECT_NE(together[1], together[2]);
    for (std::size_t i = 0; i < images.size(); ++i)
      EXPECT_EQ(together[i], predictions({images[i]})[0]) << "image " << i;
  }
}

TEST(DetectorThreads, SeveralImagesAtATimeGetWhatEachGetsAlone) {
  DetectorOptions options;
  options.model.threads = 3;
  options.mode = Mode::throughput;
  options.min_size = 32;
  const Detector found = Detector::load(kExample, options);
  EXPECT_EQ(found.streams(), 3);
  EXPECT_EQ(found.model().options().threads, 1);
  const Picture other(2, 7);
  std::vector<ImageView> images;
  for (int i = 0; i < 7; ++i) images.push_back(i % 2 == 0 ? kPicture.view() : other.view());
  const auto all = found.predict(images);
  ASSERT_EQ(all.size(), images.size());
  for (std::size_t i = 0; i < images.size(); ++i) expect_equal(all[i], found.predict(images[i]));
  images[5] = {};
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)found.predict(images); }),
            "image 5: the image is empty: 0 x 0 pixels of 3 channels");
  EXPECT_TRUE(found.predict(std::span<const ImageView>()).empty());
}

TEST(Detector, ReadsWhatTheNetSubtracts) {
  const InputRule rule = detector().input();
  EXPECT_EQ(rule.order, ChannelOrder::bgr);
  EXPECT_EQ(rule.pixel_mean, (std::vector<float>{123, 117, 104}));
  EXPECT_EQ(rule.max_size, 1333);
}

TEST(Detector, RefusesBatchesThatCannotBe) {
  for (const int most : {0, -1, 65}) {
    DetectorOptions options;
    options.max_batch = most;
    EXPECT_EQ(message_of<InvalidArgument>([&] { (void)detector(options); }),
              "max_batch is " + std::to_string(most) + ", wanted 1 to 64");
  }
  DetectorOptions options;
  options.max_batch = 64;
  EXPECT_EQ(detector(options).streams(), 1) << "on the CPU each picture goes alone";
}

TEST(Detector, RefusesWhatDoesNotSuit) {
  const Detector found = detector();
  const auto error = [&](ImageView image) { return message_of<InvalidArgument>([&] { (void)found.predict(image); }); };
  const ImageView good = kPicture.view();
  EXPECT_EQ(error({}), "the image is empty: 0 x 0 pixels of 3 channels");
  EXPECT_EQ(error({good.data, 8, 8, 32, 4, ChannelOrder::as_is}), "the image has 4 channels, the model takes 3");
  EXPECT_EQ(error({good.data, 8, 8, 32, 4, ChannelOrder::rgb}),
            "the image has 4 channels, its order says 3; that of other channels is 'as is'");
  EXPECT_EQ(error({good.data, 8, 8, 23}), "row_bytes of the image is 23, wanted at least 3 * 8");
  const std::array<ImageView, 2> images{good, ImageView{}};
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)found.predict(images); }),
            "image 1: the image is empty: 0 x 0 pixels of 3 channels");
  const Prediction p = found.predict(good);
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)p.box(p.count()); }),
            join("there is no detection ", p.count(), ", there are ", p.count()));
  DetectorOptions options;
  options.max_size = 0;
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)detector(options); }),
            (kExample / "model.pb").string() + ": max_size_test is 0, wanted 1 to 16777216");
}

}  // namespace
}  // namespace d2deploy::testing
