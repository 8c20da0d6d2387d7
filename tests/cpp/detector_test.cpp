// Images to net inputs, and masks to pixels: worked values, then a plain float64 reference.
#include "d2deploy/detector.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "d2deploy/error.h"

namespace d2deploy {
namespace {

using Box = std::array<float, 4>;
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kMax = std::numeric_limits<float>::max();

// The message of the InvalidArgument that `f` throws; empty where it throws none.
template <class F>
std::string refusal(const F& f) {
  try {
    f();
  } catch (const InvalidArgument& e) {
    return e.what();
  }
  return {};
}

#define EXPECT_REFUSED(expression, part)                                                 \
  do {                                                                                   \
    const std::string message = refusal([&] { (void)(expression); });                    \
    EXPECT_NE(message.find(part), std::string::npos) << "message: '" << message << '\''; \
  } while (false)

// Rows of `row_bytes`; every pixel's B, G and R tell where it is, the gap between rows is 255.
struct Picture {
  std::vector<std::uint8_t> bytes;
  ImageView view;

  Picture(std::int64_t height, std::int64_t width, std::int64_t gap, int base)
      : bytes(height * (3 * width + gap), 255) {
    view = {bytes.data(), height, width, 3 * width + gap};
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < width; ++x)
        for (int c = 0; c < 3; ++c) bytes[y * view.row_bytes + 3 * x + c] = value(base, c, y, x);
  }
  static std::uint8_t value(int base, int channel, std::int64_t y, std::int64_t x) {
    return static_cast<std::uint8_t>(base + 100 * channel + 10 * y + x);
  }
};

float at(const Tensor& data, std::int64_t n, std::int64_t c, std::int64_t y, std::int64_t x) {
  return data.values<float>()[((n * 3 + c) * data.dim(2) + y) * data.dim(3) + x];
}

void expect_picture(const Tensor& data, std::int64_t n, int base, std::int64_t height, std::int64_t width) {
  for (int c = 0; c < 3; ++c)
    for (std::int64_t y = 0; y < data.dim(2); ++y)
      for (std::int64_t x = 0; x < data.dim(3); ++x) {
        const float want = y < height && x < width ? Picture::value(base, c, y, x) : 0.0F;
        ASSERT_EQ(at(data, n, c, y, x), want) << "image " << n << " channel " << c << " row " << y << " column " << x;
      }
}

TEST(ToNetInputs, KeepsTheOrderOfChannels) {
  const std::array<std::uint8_t, 6> pixels{1, 2, 3, 4, 5, 6};  // B, G, R of the left pixel, then of the right one
  const ImageView image{pixels.data(), 1, 2, 6};
  const NetInputs inputs = to_net_inputs({&image, 1}, 0);
  EXPECT_EQ(inputs.data.shape(), (Shape{1, 3, 1, 2}));
  const auto data = inputs.data.values<float>();
  EXPECT_EQ(std::vector<float>(data.begin(), data.end()), (std::vector<float>{1, 4, 2, 5, 3, 6}));
}

TEST(ToNetInputs, PadsToTheDivisibility) {
  const Picture picture(5, 7, 0, 1);
  for (const auto& [divisibility, height, width] :
       {std::array<std::int64_t, 3>{0, 5, 7}, {1, 5, 7}, {5, 5, 10}, {7, 7, 7}, {32, 32, 32}}) {
    const NetInputs inputs = to_net_inputs({&picture.view, 1}, divisibility);
    ASSERT_EQ(inputs.data.shape(), (Shape{1, 3, height, width})) << "size_divisibility " << divisibility;
    expect_picture(inputs.data, 0, 1, 5, 7);
    const auto info = inputs.im_info.values<float>();
    EXPECT_EQ(std::vector<float>(info.begin(), info.end()), (std::vector<float>{5, 7, 1}));
  }
}

TEST(ToNetInputs, PadsToTheSquare) {
  const Picture picture(5, 7, 0, 1);
  const auto made = [&](std::int64_t square, std::int64_t divisibility) {
    InputRule rule;
    rule.square_size = square;
    rule.size_divisibility = divisibility;
    return to_net_inputs({&picture.view, 1}, rule);
  };
  for (const auto& [square, divisibility, side] :
       {std::array<std::int64_t, 3>{7, 0, 7}, {9, 1, 9}, {9, 4, 12}, {8, 4, 8}}) {
    const NetInputs inputs = made(square, divisibility);
    ASSERT_EQ(inputs.data.shape(), (Shape{1, 3, side, side})) << "square_size " << square;
    expect_picture(inputs.data, 0, 1, 5, 7);
    const auto info = inputs.im_info.values<float>();
    EXPECT_EQ(std::vector<float>(info.begin(), info.end()), (std::vector<float>{5, 7, 1}));
  }
  EXPECT_REFUSED(
      made(6, 4),
      "the image is 5 x 7 pixels large on its way into the net, which takes at most 6 x 6 (its square_size); "
      "make it smaller, or let it be resized to a max_size of 6 or less");
  for (const std::int64_t square : {std::int64_t{-1}, std::int64_t{8193}})
    EXPECT_REFUSED(made(square, 0), "square_size must be from 0 to 8192");
}

TEST(ToNetInputs, ImagesOfSeveralSizesShareTheLargest) {
  const Picture a(2, 9, 3, 1), b(6, 4, 0, 20), c(3, 3, 1, 7);
  const std::array<ImageView, 3> images{a.view, b.view, c.view};
  const NetInputs inputs = to_net_inputs(images, 4);
  ASSERT_EQ(inputs.data.shape(), (Shape{3, 3, 8, 12}));
  expect_picture(inputs.data, 0, 1, 2, 9);
  expect_picture(inputs.data, 1, 20, 6, 4);
  expect_picture(inputs.data, 2, 7, 3, 3);
  const auto info = inputs.im_info.values<float>();
  EXPECT_EQ(std::vector<float>(info.begin(), info.end()), (std::vector<float>{2, 9, 1, 6, 4, 1, 3, 3, 1}));
}

InputRule rule_of(ChannelOrder order, std::int64_t channels) {
  InputRule rule;
  rule.order = order;
  rule.channels = channels;
  return rule;
}

std::vector<float> fed(const ImageView& image, const InputRule& rule) {
  const NetInputs inputs = to_net_inputs({&image, 1}, rule);
  const auto values = inputs.data.values<float>();
  return {values.begin(), values.end()};
}

TEST(ToNetInputs, BringsChannelsIntoTheRulesOrder) {
  const std::array<std::uint8_t, 6> pixels{10, 20, 30, 40, 50, 60};  // two pixels of three channels
  const ImageView bgr{pixels.data(), 1, 2, 6}, rgb{pixels.data(), 1, 2, 6, 3, ChannelOrder::rgb},
      gray{pixels.data(), 1, 2, 6, 1, ChannelOrder::gray};
  const InputRule for_bgr, for_rgb = rule_of(ChannelOrder::rgb, 3), for_gray = rule_of(ChannelOrder::gray, 1);
  const std::vector<float> as_stored{10, 40, 20, 50, 30, 60}, around{30, 60, 20, 50, 10, 40};
  EXPECT_EQ(fed(bgr, for_bgr), as_stored);
  EXPECT_EQ(fed(rgb, for_rgb), as_stored);
  EXPECT_EQ(fed(bgr, for_rgb), around);
  EXPECT_EQ(fed(rgb, for_bgr), around);
  EXPECT_EQ(fed(gray, for_gray), (std::vector<float>{10, 20}));
  EXPECT_EQ(fed(gray, for_rgb), (std::vector<float>{10, 20, 10, 20, 10, 20}));
  // Luminance: 0.299 R + 0.587 G + 0.114 B.
  EXPECT_EQ(fed(bgr, for_gray), (std::vector<float>{22, 52}));
  EXPECT_EQ(fed(rgb, for_gray), (std::vector<float>{18, 48}));
}

TEST(ToNetInputs, PadsWithTheMeanOfTheRule) {
  const std::array<std::uint8_t, 3> pixels{10, 20, 30};
  const ImageView bgr{pixels.data(), 1, 1, 3};
  const InputRule rule{.order = ChannelOrder::rgb, .pixel_mean = {1, 2, 3}, .size_divisibility = 2};
  EXPECT_EQ(fed(bgr, rule), (std::vector<float>{30, 1, 1, 1, 20, 2, 2, 2, 10, 3, 3, 3}));
}

TEST(ToNetInputs, RefusesWhatDoesNotSuitTheRule) {
  const std::array<std::uint8_t, 8> pixels{};
  const ImageView bgr{pixels.data(), 1, 1, 3}, four{pixels.data(), 1, 2, 8, 4, ChannelOrder::as_is},
      wrong{pixels.data(), 1, 2, 8, 4, ChannelOrder::rgb};
  const InputRule for_five = rule_of(ChannelOrder::as_is, 5), bad_mean{.pixel_mean = {1, 2}};
  EXPECT_REFUSED(fed(bgr, for_five), "the image has 3 channels, the model takes 5, whose order is 'as is'");
  EXPECT_REFUSED(fed(four, InputRule{}), "the image has 4 channels, the model takes 3");
  EXPECT_REFUSED(fed(wrong, InputRule{}), "the image has 4 channels, its order says 3");
  EXPECT_REFUSED(fed(bgr, bad_mean), "pixel_mean has 2 values, wanted one for each of 3 channels");
  EXPECT_REFUSED(fed(bgr, rule_of(ChannelOrder::as_is, 0)), "the rule must have channels, got 0");
}

TEST(ToNetInputs, RefusesWhatIsNoImage) {
  const Picture picture(2, 2, 0, 0);
  EXPECT_REFUSED(to_net_inputs({}, 32), "got no image");
  std::array<ImageView, 2> images{picture.view, picture.view};
  images[1].width = 0;
  EXPECT_REFUSED(to_net_inputs(images, 32), "image 1 is empty: 2 x 0 pixels");
  images[1] = {nullptr, 2, 2, 6};
  EXPECT_REFUSED(to_net_inputs(images, 32), "image 1 is empty");
  images[1] = {picture.bytes.data(), 2, 2, 5};
  EXPECT_REFUSED(to_net_inputs(images, 32), "row_bytes is 5");
  for (const std::int64_t divisibility :
       {std::int64_t{-1}, std::int64_t{4097}, std::numeric_limits<std::int64_t>::max()})
    EXPECT_REFUSED(to_net_inputs({&picture.view, 1}, divisibility), "size_divisibility must be from 0 to 4096");
}

// One pixel after the other, straight from the formula.
std::vector<std::uint8_t> reference(const std::vector<float>& mask, std::int64_t side, const Box& box,
                                    std::int64_t height, std::int64_t width, double threshold) {
  const double x0 = box[0], y0 = box[1], x1 = box[2], y1 = box[3], m = static_cast<double>(side);
  const auto cell = [&](double row, double column) {
    if (row < 0 || row >= m || column < 0 || column >= m) return 0.0;
    return static_cast<double>(mask[static_cast<std::size_t>(row * m + column)]);
  };
  std::vector<std::uint8_t> pasted(height * width, 0);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) {
      const double px = static_cast<double>(x), py = static_cast<double>(y);
      if (px < std::floor(x0) - 1 || px >= std::ceil(x1) + 1 || py < std::floor(y0) - 1 || py >= std::ceil(y1) + 1)
        continue;
      const double u = (px + 0.5 - x0) / (x1 - x0) * m - 0.5, v = (py + 0.5 - y0) / (y1 - y0) * m - 0.5;
      const double i = std::floor(u), j = std::floor(v), a = u - i, b = v - j;
      const double value = (1 - b) * ((1 - a) * cell(j, i) + a * cell(j, i + 1)) +
                           b * ((1 - a) * cell(j + 1, i) + a * cell(j + 1, i + 1));
      pasted[y * width + x] = value >= threshold;
    }
  return pasted;
}

using Pixels = std::vector<std::uint8_t>;

TEST(PasteMask, OnTheGridOfTheImage) {
  // The box covers four pixels by two cells: every cell is two pixels wide and the centres sit at u = -0.25, 0.25,
  // 0.75, 1.25. The row of values 1, 0 is thus 0.75, 0.75, 0.25, 0 there, and 0.25 one pixel to the left.
  const std::vector<float> mask{1, 0, 1, 0};
  const Box box{1, 0, 5, 2};
  EXPECT_EQ(paste_mask(mask, 2, box, 2, 6, 0.5F), (Pixels{0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0}));
  EXPECT_EQ(paste_mask(mask, 2, box, 1, 6, 0.26F), (Pixels{0, 1, 1, 0, 0, 0}));
  EXPECT_EQ(paste_mask(mask, 2, box, 1, 6, 0.24F), (Pixels{1, 1, 1, 1, 0, 0}));
}

TEST(PasteMask, OneCellFillsItsBox) {
  // A single cell of 1 falls off linearly to 0 over one box size: 0.5 exactly at the border of the box.
  EXPECT_EQ(paste_mask(std::vector<float>{1}, 1, Box{1, 1, 4, 3}, 4, 5),
            (Pixels{0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0}));
}

TEST(PasteMask, TheThresholdItselfCounts) {
  const std::vector<float> half{0.5F};
  EXPECT_EQ(paste_mask(half, 1, Box{0, 0, 1, 1}, 1, 1, 0.5F), Pixels{1});
  EXPECT_EQ(paste_mask(half, 1, Box{0, 0, 1, 1}, 1, 1, 0.50001F), Pixels{0});
}

TEST(PasteMask, LooksNoFartherThanOnePixelFromTheBox) {
  // With a threshold of 0 everything that is looked at is set.
  EXPECT_EQ(paste_mask(std::vector<float>{0}, 1, Box{2.5F, 0, 3.5F, 1}, 1, 7, 0.0F), (Pixels{0, 1, 1, 1, 1, 0, 0}));
}

TEST(PasteMask, EqualsTheReference) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> probability(0, 1), place(-30, 60), extent(0.01F, 50);
  for (int round = 0; round < 200; ++round) {
    const std::int64_t side = 1 + round % 29;
    std::vector<float> mask(side * side);
    for (float& v : mask) v = probability(random);
    const float x = place(random), y = place(random);
    const Box box{x, y, x + extent(random), y + extent(random)};
    const float threshold = probability(random);
    EXPECT_EQ(paste_mask(mask, side, box, 37, 41, threshold), reference(mask, side, box, 37, 41, threshold))
        << "round " << round;
  }
}

TEST(PasteMask, BoxesWithoutAreaPasteNothing) {
  const std::vector<float> mask(4, 1.0F);
  for (const Box& box : {Box{1, 1, 1, 3}, Box{1, 2, 3, 2}, Box{3, 1, 1, 3}, Box{1, 3, 3, 1}, Box{kNaN, 0, 2, 2},
                         Box{0, 0, 2, kNaN}, Box{-kInf, -kInf, kInf, kInf}, Box{0, 0, kInf, 2}})
    EXPECT_EQ(paste_mask(mask, 2, box, 3, 4), Pixels(12, 0))
        << box[0] << ' ' << box[1] << ' ' << box[2] << ' ' << box[3];
}

TEST(PasteMask, HugeAndFarBoxesAreSafe) {
  const std::vector<float> mask(4, 1.0F);
  EXPECT_EQ(paste_mask(mask, 2, Box{-kMax, -kMax, kMax, kMax}, 3, 4), Pixels(12, 1));
  EXPECT_EQ(paste_mask(mask, 2, Box{1e30F, 1e30F, 2e30F, 2e30F}, 3, 4), Pixels(12, 0));
  EXPECT_EQ(paste_mask(mask, 2, Box{-2e30F, -2e30F, -1e30F, -1e30F}, 3, 4), Pixels(12, 0));
  EXPECT_TRUE(paste_mask(mask, 2, Box{0, 0, 1, 1}, 0, 4).empty());
}

TEST(PasteMask, ValuesThatAreNotNumbersStayOutside) {
  EXPECT_EQ(paste_mask(std::vector<float>{kNaN}, 1, Box{0, 0, 2, 2}, 2, 2), Pixels(4, 0));
}

TEST(PasteMask, RefusesSizesThatDoNotAgree) {
  const std::vector<float> mask(6, 1.0F);
  const Box box{0, 0, 1, 1};
  EXPECT_REFUSED(paste_mask(mask, 2, box, 3, 4), "a mask of side 2 needs side * side values, got 6");
  EXPECT_REFUSED(paste_mask({}, 0, box, 3, 4), "side 0");
  EXPECT_REFUSED(paste_mask(std::vector<float>{1}, 1, box, -3, 4), "must not be negative, got -3 x 4");
  EXPECT_REFUSED(paste_mask(std::vector<float>{1}, 1, box, 3, 4, 1.5F), "threshold must be from 0 to 1, got 1.5");
  EXPECT_REFUSED(paste_mask(std::vector<float>{1}, 1, box, 3, 4, kNaN), "threshold must be from 0 to 1");
}

}  // namespace
}  // namespace d2deploy
