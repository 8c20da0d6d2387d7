// Pictures that are resized on a GPU, or on the host in place of one: bit for bit what the host makes of them.
#include "detector/device_feed.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <random>

#include "core/threads.h"
#include "d2deploy/detector.h"
#include "net_files.h"
#include "prediction_bits.h"
#include "small_detectors.h"

namespace d2deploy {
namespace {

constexpr Device kGpu{Device::cuda, 0};

struct Picture {
  std::vector<std::uint8_t> bytes;
  ImageView view;

  Picture(std::int64_t height, std::int64_t width, std::int64_t channels, std::int64_t gap = 0)
      : bytes(static_cast<std::size_t>(height * (width * channels + gap))) {
    std::mt19937 random(static_cast<unsigned>(height * 7 + width));
    for (auto& b : bytes) b = static_cast<std::uint8_t>(random() >> 8);
    view = {bytes.data(), height, width, width * channels + gap, channels};
  }
};

// Both orders of the passes, each axis alone, larger and smaller; `feed` is used again for all of them.
TEST(DeviceFeed, ResizesAsTheHostDoes) {
  DeviceFeed feed(kGpu);
  const Stream stream(kGpu);
  const std::vector<PlaneSource> planes{{2, 1.5F}, {0, -3.0F}, {0, 0.0F}};
  for (const auto& [height, width, new_height, new_width] : std::vector<std::array<std::int64_t, 4>>{{1, 1, 5, 7},
                                                                                                     {33, 47, 20, 90},
                                                                                                     {90, 20, 40, 33},
                                                                                                     {40, 33, 90, 20},
                                                                                                     {64, 64, 64, 31},
                                                                                                     {64, 64, 31, 64},
                                                                                                     {64, 64, 64, 64},
                                                                                                     {400, 50, 60, 70},
                                                                                                     {3, 90, 2, 7}})
    for (const std::int64_t gap : {0, 5}) {
      const Picture picture(height, width, 3, gap);
      const Size size{new_height, new_width}, room{new_height + 3, new_width + 9};
      const TensorType type{DType::float32, {1, 3, room.height, room.width}};
      Tensor want = Tensor::allocate(type);
      resize_into_planes(picture.view, size, planes, room, want.data<float>());
      const auto memory = allocate(kGpu, static_cast<std::size_t>(type.bytes()));
      const Tensor there = Tensor::share(type, memory.get(), memory, kGpu);
      feed.resize_into_planes(picture.view, size, planes, there, stream);
      const Tensor have = copy_to({}, there, stream);
      stream.synchronize();
      EXPECT_EQ(std::memcmp(have.raw(), want.raw(), static_cast<std::size_t>(type.bytes())), 0)
          << height << " x " << width << " to " << new_height << " x " << new_width << ", gap " << gap;
    }
}

// The whole way, from bytes to a prediction. Sums are made in another order than on the CPU.
TEST(DetectorOnAGpu, PredictsWhatTheCpuDoes) {
  const std::filesystem::path example = std::filesystem::path(D2DEPLOY_EXAMPLES) / "mask_rcnn";
  DetectorOptions options;
  options.min_size = 128;
  options.max_size = 160;
  const Detector cpu = Detector::load(example, options);
  options.model.device = "cuda";
  const Detector gpu = Detector::load(example, options);
  const Picture picture(96, 120, 3);
  const Prediction want = cpu.predict(picture.view), have = gpu.predict(picture.view);
  ASSERT_EQ(have.count(), want.count());
  ASSERT_GT(want.count(), 0);
  EXPECT_EQ(have.classes, want.classes);
  for (std::size_t i = 0; i < want.boxes.size(); ++i) EXPECT_NEAR(have.boxes[i], want.boxes[i], 0.01F) << i;
  for (std::size_t i = 0; i < want.scores.size(); ++i) EXPECT_NEAR(have.scores[i], want.scores[i], 1e-4F) << i;
  ASSERT_EQ(have.masks.type(), want.masks.type());
  for (std::int64_t i = 0; i < want.masks.size(); ++i)
    ASSERT_NEAR(have.masks.data<float>()[i], want.masks.data<float>()[i], 1e-3F) << i;
}

// Callers that overlap. That they do go together batcher_test shows, that outputs of all kinds are told apart
// predict_test.
TEST(BatchesOnAGpu, GiveEachWhatItGetsAlone) {
  for (const testing::DetectorCase& net : testing::detectors()) {
    if (net.name != std::string("keypoints") && net.name != std::string("retinanet")) continue;
    SCOPED_TRACE(net.name);
    const testing::NetFiles files(net.text, net.attributes);
    DetectorOptions options;
    options.sem_seg = options.keypoint_maps = true;
    options.model.device = "cuda";
    const Detector alone = Detector::load(files.predict, files.init, options);
    EXPECT_EQ(alone.streams(), 1);
    options.max_batch = 2;
    const Detector together = Detector::load(files.predict, files.init, options);
    EXPECT_EQ(together.streams(), 4);
    std::vector<ImageView> images;
    for (std::size_t i = 0; i < 4; ++i) images.push_back(testing::picture(i));
    const auto found = together.predict(images);  // the first two begin at once, the others wait for them
    for (std::size_t i = 0; i < images.size(); ++i)
      EXPECT_EQ(testing::bits(found[i]), testing::bits(alone.predict(images[i]))) << "image " << i;
    images = {images[0], {}};
    EXPECT_THROW((void)together.predict(images), InvalidArgument);
  }
}

}  // namespace
}  // namespace d2deploy
