// Run-length codes and outlines of masks: worked values, those of pycocotools, then laws against plain loops.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "d2deploy/error.h"
#include "d2deploy/mask.h"
#include "message_of.h"

namespace d2deploy {
namespace {

struct Bitmap {
  std::int64_t height = 0, width = 0;
  std::vector<std::uint8_t> pixels;

  Bitmap(std::int64_t h, std::int64_t w) : height(h), width(w), pixels(h * w, 0) {}
  std::uint8_t& at(std::int64_t y, std::int64_t x) { return pixels[y * width + x]; }
  bool has(std::int64_t y, std::int64_t x) const {
    return y >= 0 && y < height && x >= 0 && x < width && pixels[y * width + x] != 0;
  }
  RunLengths runs() const { return run_lengths(pixels, height, width); }
};

Bitmap drawn(const std::vector<std::string>& rows) {
  Bitmap bitmap(static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows[0].size()));
  for (std::int64_t y = 0; y < bitmap.height; ++y)
    for (std::int64_t x = 0; x < bitmap.width; ++x) bitmap.at(y, x) = rows[y][x] == '#';
  return bitmap;
}

Bitmap where(std::int64_t height, std::int64_t width, const std::function<bool(std::int64_t, std::int64_t)>& inside) {
  Bitmap bitmap(height, width);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) bitmap.at(y, x) = inside(y, x) ? 1 : 0;
  return bitmap;
}

// Noise of any density, in blocks of up to 3 x 4 pixels.
Bitmap noise(std::mt19937& random) {
  const auto upto = [&](int most) { return std::uniform_int_distribution<std::int64_t>(1, most)(random); };
  const std::int64_t block_h = upto(3), block_w = upto(4), height = upto(20), width = upto(20);
  const double density = std::uniform_real_distribution(0.05, 0.95)(random);
  std::bernoulli_distribution draw(density);
  Bitmap small = where(height, width, [&](std::int64_t, std::int64_t) { return draw(random); });
  return where(height * block_h, width * block_w,
               [&](std::int64_t y, std::int64_t x) { return small.has(y / block_h, x / block_w); });
}

const std::vector<std::string> kDrawing{"..##..",  //
                                        "#.##.#",  //
                                        "##..##",  //
                                        "......",  //
                                        "#....."};

TEST(RunLengths, AreCountedColumnByColumn) {
  const RunLengths runs = drawn(kDrawing).runs();
  EXPECT_EQ(runs.height, 5);
  EXPECT_EQ(runs.width, 6);
  EXPECT_EQ(runs.counts, (std::vector<std::uint32_t>{1, 2, 1, 1, 2, 1, 2, 2, 3, 2, 5, 1, 3, 2, 2}));
  EXPECT_EQ(drawn({"##"}).runs().counts, (std::vector<std::uint32_t>{0, 2}));
  EXPECT_EQ(drawn({".."}).runs().counts, (std::vector<std::uint32_t>{2}));
  EXPECT_EQ(run_lengths({}, 0, 3).counts, (std::vector<std::uint32_t>{0}));
}

// The strings are pycocotools.mask.encode's of the same bitmaps (version 2.0), the boxes and areas its toBbox's and
// area's.
TEST(RunLengths, AsCocoHasThem) {
  struct Case {
    Bitmap bitmap;
    std::string text;
    std::array<std::int64_t, 4> box;
    std::int64_t area;
  };
  const auto ring = [](std::int64_t y, std::int64_t x) {
    return (x - 7) * (x - 7) + (y - 11) * (y - 11) <= 36 && (x - 6) * (x - 6) + (y - 12) * (y - 12) > 5;
  };
  const auto long_runs = [](std::int64_t y, std::int64_t x) { return y + 1000 * x >= 900 && y <= 2950 - x * 2000; };
  for (const Case& c : {Case{drawn(kDrawing), "121O1001102ON1O", {0, 0, 6, 5}, 11},
                        {drawn({"####", "####", "####"}), "0<", {0, 0, 4, 3}, 12},
                        {drawn({"....", "....", "...."}), "<", {0, 0, 0, 0}, 0},
                        {where(20, 15, ring), "o01`06L2NLIN61LN42LN33MN32KN68001N2N4J<", {1, 5, 13, 13}, 92},
                        {where(3000, 2, long_runs), "Tl0SP2a1dmN`n1", {0, 0, 2, 2951}, 3002}}) {
    EXPECT_EQ(to_coco_string(c.bitmap.runs()), c.text);
    EXPECT_EQ(bounding_box(c.bitmap.runs()), c.box) << c.text;
    EXPECT_EQ(area(c.bitmap.runs()), c.area) << c.text;
  }
}

// The other way round, from the description of the format.
std::vector<std::uint32_t> counts_of(const std::string& text) {
  std::vector<std::int64_t> counts;
  for (std::size_t i = 0; i < text.size();) {
    std::int64_t value = 0;
    int shift = 0;
    for (bool more = true; more; shift += 5) {
      const std::int64_t bits = text[i++] - 48;
      value |= (bits & 31) << shift;
      more = bits >= 32;
      if (!more && (bits & 16) != 0) value -= std::int64_t{1} << (shift + 5);
    }
    if (counts.size() > 2) value += counts[counts.size() - 2];
    counts.push_back(value);
  }
  return {counts.begin(), counts.end()};
}

TEST(RunLengths, TellTheBitmapBack) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    const Bitmap bitmap = noise(random);
    const RunLengths runs = bitmap.runs();
    EXPECT_EQ(to_bitmap(runs), bitmap.pixels) << "round " << round;
    EXPECT_EQ(counts_of(to_coco_string(runs)), runs.counts) << "round " << round;
    EXPECT_EQ(area(runs), std::ranges::count(bitmap.pixels, 1)) << "round " << round;
  }
}

TEST(RunLengths, BoxIsTight) {
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    const Bitmap bitmap = noise(random);
    std::int64_t left = 1000, right = 0, top = 1000, bottom = 0;
    for (std::int64_t y = 0; y < bitmap.height; ++y)
      for (std::int64_t x = 0; x < bitmap.width; ++x)
        if (bitmap.has(y, x)) {
          left = std::min(left, x);
          right = std::max(right, x + 1);
          top = std::min(top, y);
          bottom = std::max(bottom, y + 1);
        }
    const std::array<std::int64_t, 4> want{left, top, right - left, bottom - top}, none{};
    EXPECT_EQ(bounding_box(bitmap.runs()), right == 0 ? none : want) << "round " << round;
  }
}

// Values of a mask head: smooth, steep, flat, at the threshold, or anything.
std::vector<float> mask_of(std::int64_t side, int kind, std::mt19937& random) {
  std::uniform_real_distribution<float> unit(0, 1);
  const float fall = 1 + 30 * unit(random), centre_x = unit(random), centre_y = unit(random), radius = unit(random);
  std::vector<float> mask;
  for (std::int64_t y = 0; y < side; ++y)
    for (std::int64_t x = 0; x < side; ++x) {
      const float u = (static_cast<float>(x) + 0.5F) / static_cast<float>(side) - centre_x;
      const float v = (static_cast<float>(y) + 0.5F) / static_cast<float>(side) - centre_y;
      const float smooth = 1 / (1 + std::exp(fall * (std::hypot(u, v) - radius)));
      mask.push_back(kind == 0 ? unit(random) : kind == 1 ? 0.5F : kind == 2 ? std::round(smooth) : smooth);
    }
  return mask;
}

TEST(PasteRunLengths, AreThoseOfThePastedMask) {
  std::mt19937 random(3);
  std::uniform_real_distribution<float> place(-40, 90), extent(0.01F, 150), unit(0, 1);
  for (int round = 0; round < 600; ++round) {
    const std::int64_t side = 1 + round % 28, height = 1 + round % 61, width = 1 + round % 53;
    const std::vector<float> mask = mask_of(side, round % 5, random);
    float x = place(random), y = place(random), w = extent(random), h = extent(random);
    if (round % 3 == 0) x = std::round(x), y = std::round(y), w = std::ceil(w), h = std::ceil(h);
    const std::array<float, 4> box{x, y, x + w, y + h};
    const float threshold = std::array{0.5F, 0.5F, 0.0F, 1.0F, unit(random)}[round % 5];
    EXPECT_EQ(paste_run_lengths(mask, side, box, height, width, threshold),
              run_lengths(paste_mask(mask, side, box, height, width, threshold), height, width))
        << "round " << round;
  }
}

// A line that passes the threshold exactly at a pixel, from below and from above, whatever its slope.
TEST(PasteRunLengths, PixelsAtTheThresholdCount) {
  for (const float slope : {1.0F, 0.5F, 1e-3F, 1e-6F, 1e-7F})
    for (const float sign : {1.0F, -1.0F}) {
      const std::vector<float> mask{0.5F - sign * slope / 2, 0.5F - sign * slope / 2, 0.5F + sign * slope / 2,
                                    0.5F + sign * slope / 2};
      for (const float high : {2.0F, 7.0F, 30.0F, 31.0F}) {
        const std::array<float, 4> box{0, 0, high, high};
        EXPECT_EQ(paste_run_lengths(mask, 2, box, 32, 32), run_lengths(paste_mask(mask, 2, box, 32, 32), 32, 32))
            << "slope " << sign * slope << ", box of " << high;
      }
    }
}

TEST(PasteRunLengths, NeedNoMemoryForThePicture) {
  const std::int64_t side = 60'000;  // 3.6 GB as a bitmap
  const RunLengths runs = paste_run_lengths(std::vector<float>{1}, 1, std::array{1.0F, 1.0F, 4.0F, 3.0F}, side, side);
  EXPECT_EQ(runs.counts, (std::vector<std::uint32_t>{60'001, 2, 59'998, 2, 59'998, 2, 3'599'819'997}));
  EXPECT_EQ(bounding_box(runs), (std::array<std::int64_t, 4>{1, 1, 3, 2}));
  EXPECT_EQ(polygons(runs), (Polygons{{1, 1, 4, 1, 4, 3, 1, 3}}));
}

TEST(PasteRunLengths, ValuesAndBoxesThatAreNotNumbersPasteNothing) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  const std::vector<std::uint32_t> nothing{20};
  EXPECT_EQ(paste_run_lengths(std::vector<float>{kNaN}, 1, std::array{0.0F, 0.0F, 2.0F, 2.0F}, 4, 5).counts, nothing);
  EXPECT_EQ(paste_run_lengths(std::vector<float>{1}, 1, std::array{0.0F, kNaN, 2.0F, 2.0F}, 4, 5).counts, nothing);
  EXPECT_EQ(paste_run_lengths(std::vector<float>{1}, 1, std::array{0.0F, 0.0F, kInf, 2.0F}, 4, 5).counts, nothing);
  EXPECT_EQ(paste_run_lengths(std::vector<float>{1}, 1, std::array{3.0F, 0.0F, 3.0F, 2.0F}, 4, 5).counts, nothing);
  const std::vector<float> mixed{kInf, 1, kNaN, 1};
  const std::array<float, 4> box{0, 0, 9, 9};
  EXPECT_EQ(to_bitmap(paste_run_lengths(mixed, 2, box, 9, 9)), paste_mask(mixed, 2, box, 9, 9));
}

TEST(Polygons, GoAroundPixels) {
  EXPECT_EQ(polygons(drawn({"#"}).runs()), (Polygons{{0, 0, 1, 0, 1, 1, 0, 1}}));
  EXPECT_EQ(polygons(drawn({"...", ".##", "..."}).runs()), (Polygons{{1, 1, 3, 1, 3, 2, 1, 2}}));
  EXPECT_EQ(polygons(drawn({"##", "#."}).runs()), (Polygons{{0, 0, 2, 0, 2, 1, 1, 1, 1, 2, 0, 2}}));
  EXPECT_TRUE(polygons(drawn({"..", ".."}).runs()).empty());
}

TEST(Polygons, PixelsThatTouchWithTheirCornersAreOnePart) {
  EXPECT_EQ(polygons(drawn({"#.", ".#"}).runs()), (Polygons{{0, 0, 1, 0, 1, 1, 2, 1, 2, 2, 1, 2, 1, 1, 0, 1}}));
  EXPECT_EQ(polygons(drawn({".#", "#."}).runs()), (Polygons{{0, 1, 1, 1, 1, 0, 2, 0, 2, 1, 1, 1, 1, 2, 0, 2}}));
}

TEST(Polygons, HolesAreLeftOutAndIslandsInThemAreNot) {
  EXPECT_EQ(polygons(drawn({"###", "#.#", "###"}).runs()), (Polygons{{0, 0, 3, 0, 3, 3, 0, 3}}));
  EXPECT_EQ(polygons(drawn({"#####", "#...#", "#.#.#", "#...#", "#####"}).runs()),
            (Polygons{{0, 0, 5, 0, 5, 5, 0, 5}, {2, 2, 3, 2, 3, 3, 2, 3}}));
}

// Parts joined by sides and corners.
int parts_of(Bitmap bitmap) {
  const std::function<void(std::int64_t, std::int64_t)> erase = [&](std::int64_t y, std::int64_t x) {
    if (!bitmap.has(y, x)) return;
    bitmap.at(y, x) = 0;
    for (std::int64_t dy = -1; dy <= 1; ++dy)
      for (std::int64_t dx = -1; dx <= 1; ++dx) erase(y + dy, x + dx);
  };
  int parts = 0;
  for (std::int64_t y = 0; y < bitmap.height; ++y)
    for (std::int64_t x = 0; x < bitmap.width; ++x)
      if (bitmap.has(y, x)) {
        ++parts;
        erase(y, x);
      }
  return parts;
}

// What cannot be reached from outside, from side to side, without crossing the mask.
Bitmap without_holes(const Bitmap& bitmap) {
  Bitmap reached(bitmap.height + 2, bitmap.width + 2);
  const std::function<void(std::int64_t, std::int64_t)> reach = [&](std::int64_t y, std::int64_t x) {
    if (y < 0 || y >= reached.height || x < 0 || x >= reached.width) return;
    if (reached.has(y, x) || bitmap.has(y - 1, x - 1)) return;
    reached.at(y, x) = 1;
    reach(y - 1, x);
    reach(y + 1, x);
    reach(y, x - 1);
    reach(y, x + 1);
  };
  reach(0, 0);
  return where(bitmap.height, bitmap.width, [&](std::int64_t y, std::int64_t x) { return !reached.has(y + 1, x + 1); });
}

// Whether a ray from the pixel's centre to the left crosses the outline an odd number of times.
bool inside(const std::vector<std::int32_t>& polygon, std::int64_t y, std::int64_t x) {
  bool odd = false;
  for (std::size_t i = 0; i < polygon.size(); i += 2) {
    const std::size_t j = (i + 2) % polygon.size();
    const bool crosses = (polygon[i + 1] <= y) != (polygon[j + 1] <= y);
    if (crosses && polygon[i] <= x) odd = !odd;
  }
  return odd;
}

TEST(Polygons, HoldTheMaskAndItsHoles) {
  std::mt19937 random(4);
  for (int round = 0; round < 300; ++round) {
    const Bitmap bitmap = noise(random);
    const Polygons found = polygons(bitmap.runs());
    EXPECT_EQ(static_cast<int>(found.size()), parts_of(bitmap)) << "round " << round;
    const Bitmap filled = where(bitmap.height, bitmap.width, [&](std::int64_t y, std::int64_t x) {
      return std::ranges::any_of(found, [&](const auto& polygon) { return inside(polygon, y, x); });
    });
    EXPECT_EQ(filled.pixels, without_holes(bitmap).pixels) << "round " << round;
    for (const auto& polygon : found)
      for (std::size_t i = 0; i < polygon.size(); i += 2) {  // every corner is one
        const std::size_t j = (i + 2) % polygon.size(), k = (i + 4) % polygon.size();
        EXPECT_NE(polygon[i] == polygon[j], polygon[j] == polygon[k]) << "round " << round;
      }
  }
}

TEST(RunLengths, RefuseWhatIsNoCode) {
  const std::vector<float> mask{1};
  const std::array<float, 4> box{0, 0, 1, 1};
  const auto refusal = [](const auto& f) { return message_of<InvalidArgument>(f); };
  EXPECT_EQ(refusal([&] { (void)area({2, 3, {5}}); }), "area: counts of 5 pixels, but the image has 2 x 3");
  EXPECT_EQ(refusal([&] {
              (void)to_bitmap({2, 3, {3, 4}});
            }),
            "to_bitmap: counts of 7 pixels, but the image has 2 x 3");
  EXPECT_EQ(refusal([&] {
              (void)bounding_box({2, 3, {}});
            }),
            "bounding_box: counts of 0 pixels, but the image has 2 x 3");
  EXPECT_NE(refusal([&] { (void)polygons({-2, -3, {6}}); }).find("must not be negative"), std::string::npos);
  EXPECT_NE(refusal([&] {
              (void)to_coco_string({1 << 20, 1 << 20, {0}});
            }).find("less than 2^32 pixels"),
            std::string::npos);
  EXPECT_NE(refusal([&] { (void)run_lengths(std::vector<std::uint8_t>(5), 2, 3); }).find("needs height * width bytes"),
            std::string::npos);
  EXPECT_NE(refusal([&] { (void)paste_run_lengths(mask, 2, box, 3, 3); }).find("paste_run_lengths: a mask of side 2"),
            std::string::npos);
  EXPECT_NE(refusal([&] { (void)paste_run_lengths(mask, 1, box, 65'536, 65'536); }).find("less than 2^32 pixels"),
            std::string::npos);
}

TEST(RunLengths, ZerosWithinAreNoEnd) {
  const RunLengths cut{4, 2, {1, 1, 0, 2, 0, 0, 4}};  // as 1, 3, 4, though no encoder writes it so
  EXPECT_EQ(to_bitmap(cut), drawn({"..", "#.", "#.", "#."}).pixels);
  EXPECT_EQ(polygons(cut), (Polygons{{0, 1, 1, 1, 1, 4, 0, 4}}));
  EXPECT_EQ(area(cut), 3);
}

}  // namespace
}  // namespace d2deploy
