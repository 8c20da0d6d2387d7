// Resizing: worked values, laws, and every set of loops against sums written out. That whole pictures are Pillow's is
// tested in tests/python/test_resize.py.
#include "detector/resize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "core/threads.h"
#include "d2deploy/error.h"
#include "kernels/resample.h"
#include "message_of.h"

namespace d2deploy {
namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr std::uint8_t kGap = 77;  // between rows: to be skipped, and not to be written

Bytes noise(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  Bytes bytes(count);
  for (auto& b : bytes) b = static_cast<std::uint8_t>(random() >> 8);
  return bytes;
}

struct Picture {
  Bytes bytes;
  ImageView view;

  Picture(std::int64_t height, std::int64_t width, std::int64_t channels, std::int64_t gap = 0)
      : bytes(noise(height * (width * channels + gap), 1)) {
    view = {bytes.data(), height, width, width * channels + gap, channels};
  }
};

Bytes resized(const ImageView& image, Size size, int threads = 1) {
  Bytes out(size.height * size.width * image.channels);
  resize(image, size, out.data(), size.width * image.channels, threads);
  return out;
}

// Both orders of the passes, both directions, one axis alone, few and many pixels, one part and several.
constexpr std::array<std::array<std::int64_t, 4>, 14> kSizes{{{1, 1, 1, 1},
                                                              {1, 1, 5, 7},
                                                              {5, 7, 1, 1},
                                                              {33, 47, 20, 90},
                                                              {90, 20, 40, 33},
                                                              {40, 33, 90, 20},
                                                              {64, 64, 64, 31},
                                                              {64, 64, 31, 64},
                                                              {64, 64, 65, 64},
                                                              {200, 130, 300, 195},
                                                              {300, 195, 200, 130},
                                                              {500, 3, 7, 2},
                                                              {3, 500, 2, 7},
                                                              {400, 50, 60, 200}}};

std::string text(const std::array<std::int64_t, 4>& s) {
  return std::to_string(s[0]) + " x " + std::to_string(s[1]) + " to " + std::to_string(s[2]) + " x " +
         std::to_string(s[3]);
}

TEST(Resize, WorkedValues) {
  // Larger: pixel i lies at (i + 0.5) / 2, between two centres, or beyond the first or last one.
  const Bytes two{0, 100};
  EXPECT_EQ(resized({two.data(), 1, 2, 2, 1}, {1, 4}), (Bytes{0, 25, 75, 100}));
  EXPECT_EQ(resized({two.data(), 2, 1, 1, 1}, {4, 1}), (Bytes{0, 25, 75, 100}));
  // Smaller: (0.75 * 0 + 0.75 * 40 + 0.25 * 80) / 1.75 = 28.6, (0.25 * 40 + 0.75 * 80 + 0.75 * 120) / 1.75 = 91.4
  const Bytes four{0, 40, 80, 120};
  EXPECT_EQ(resized({four.data(), 1, 4, 4, 1}, {1, 2}), (Bytes{29, 91}));
  EXPECT_EQ(resized({four.data(), 4, 1, 1, 1}, {2, 1}), (Bytes{29, 91}));
}

TEST(Resize, OfTheSameSizeIsTheImage) {
  for (const std::int64_t width : {1, 15, 16, 17, 100}) {
    const Picture picture(37, width, 3);
    EXPECT_EQ(resized(picture.view, {37, width}), picture.bytes) << "width " << width;
  }
}

TEST(Resize, AConstantImageStaysSo) {
  for (const auto& s : kSizes)
    for (const int value : {0, 1, 128, 254, 255}) {
      const Bytes bytes(s[0] * s[1], static_cast<std::uint8_t>(value));
      const Bytes out = resized({bytes.data(), s[0], s[1], s[1], 1}, {s[2], s[3]});
      EXPECT_EQ(std::ranges::count(out, value), s[2] * s[3]) << text(s) << ", value " << value;
    }
}

TEST(Resize, ThreadsGiveTheSameBits) {
  for (const auto& s : kSizes) {
    const Picture picture(s[0], s[1], 3);
    const Bytes alone = resized(picture.view, {s[2], s[3]});
    for (const int threads : {0, 2, 5}) EXPECT_EQ(resized(picture.view, {s[2], s[3]}, threads), alone) << text(s);
  }
}

TEST(Resize, ChannelsAreResizedOneByOne) {
  for (const auto& s : kSizes)
    for (const std::int64_t channels : {2, 3, 5}) {
      const Picture picture(s[0], s[1], channels);
      const Bytes all = resized(picture.view, {s[2], s[3]});
      for (std::int64_t c = 0; c < channels; ++c) {
        Bytes one, want;
        for (std::size_t i = c; i < picture.bytes.size(); i += channels) one.push_back(picture.bytes[i]);
        for (std::size_t i = c; i < all.size(); i += channels) want.push_back(all[i]);
        EXPECT_EQ(resized({one.data(), s[0], s[1], s[1], 1}, {s[2], s[3]}), want) << text(s) << ", channel " << c;
      }
    }
}

TEST(Resize, LeavesGapsBetweenRowsAlone) {
  constexpr std::int64_t kBytes = 5;
  for (const auto& s : kSizes) {
    const Picture dense(s[0], s[1], 3);
    Picture loose(s[0], s[1], 3, kBytes);
    std::ranges::fill(loose.bytes, kGap);
    const std::int64_t row = 3 * s[1], out_row = 3 * s[3];
    for (std::int64_t y = 0; y < s[0]; ++y) std::copy_n(&dense.bytes[y * row], row, &loose.bytes[y * (row + kBytes)]);
    Bytes out(s[2] * (out_row + kBytes), kGap), want(out.size(), kGap);
    resize(loose.view, {s[2], s[3]}, out.data(), out_row + kBytes, 1);
    const Bytes pixels = resized(dense.view, {s[2], s[3]});
    for (std::int64_t y = 0; y < s[2]; ++y) std::copy_n(&pixels[y * out_row], out_row, &want[y * (out_row + kBytes)]);
    EXPECT_EQ(out, want) << text(s);
  }
}

TEST(ResizeIntoPlanes, IsResizeByChannelsWithPadding) {
  const ThreadScope threads(2);
  const std::vector<PlaneSource> planes{{2, 0.0F}, {0, 103.53F}, {0, -1.0F}, {1, 5.0F}};
  for (const auto& s : kSizes) {
    const Picture picture(s[0], s[1], 3);
    const Size padded{s[2] + 30, s[3] + 2};
    const Bytes pixels = resized(picture.view, {s[2], s[3]});
    std::vector<float> out(planes.size() * padded.height * padded.width, -99.0F), want;
    for (const PlaneSource& plane : planes)
      for (std::int64_t y = 0; y < padded.height; ++y)
        for (std::int64_t x = 0; x < padded.width; ++x)
          want.push_back(y < s[2] && x < s[3] ? pixels[(y * s[3] + x) * 3 + plane.channel] : plane.padding);
    resize_into_planes(picture.view, {s[2], s[3]}, planes, padded, out.data());
    EXPECT_EQ(out, want) << text(s);
  }
}

// ---- The loops -------------------------------------------------------------------------------------

// Weights of 2^-22 that are no filter's: sums of any size up to 255 and above.
struct Supports {
  std::vector<WeightPair> pairs;
  std::vector<Support> list;
  std::vector<std::vector<int>> weights;

  Supports(std::int64_t count, std::int64_t pixels) {
    std::mt19937 random(3);
    pairs.reserve(static_cast<std::size_t>(count * pixels));
    for (std::int64_t i = 0; i < count; ++i) {
      const auto first = static_cast<std::int64_t>(random() % static_cast<unsigned>(pixels));
      const auto most = static_cast<unsigned>(i == 0 ? 1 : pixels - first);  // the first: one pixel, whole
      const auto taps = 1 + static_cast<std::int64_t>(random() % most);
      list.push_back({first, taps, pairs.data() + pairs.size()});
      auto& row = weights.emplace_back();
      for (std::int64_t j = 0; j < taps; ++j) {
        const int whole = 1 << kWeightBits;
        row.push_back(i == 0 ? whole : static_cast<int>(random() % static_cast<unsigned>(2 * whole / taps)));
        if (j % 2 == 0) pairs.push_back({});
        pairs.back().high[j % 2] = static_cast<std::int16_t>(row.back() >> kLowWeightBits);
        pairs.back().low[j % 2] = static_cast<std::int16_t>(row.back() % (1 << kLowWeightBits));
      }
    }
  }

  std::uint8_t sum(std::int64_t i, const std::uint8_t* x, std::int64_t stride) const {
    std::int64_t sum = 1 << (kWeightBits - 1);
    for (std::int64_t j = 0; j < list[i].taps; ++j) sum += std::int64_t{weights[i][j]} * x[j * stride];
    return static_cast<std::uint8_t>(std::min<std::int64_t>(sum >> kWeightBits, 255));
  }
};

TEST(ResampleLoops, SumDownColumns) {
  constexpr std::int64_t kRows = 9, kRowBytes = 131;
  const Bytes x = noise(kRows * kRowBytes, 2);
  const Supports supports(20, kRows);
  const auto all = all_resample_loops();
  for (int l = 0; l < all.count; ++l)
    for (const std::int64_t n : {1, 15, 16, 31, 32, 33, 64, 131})
      for (std::int64_t i = 0; i < 20; ++i) {
        const Support& support = supports.list[i];
        Bytes out(n + 1, kGap), want(n + 1, kGap);
        for (std::int64_t k = 0; k < n; ++k) want[k] = supports.sum(i, &x[support.first * kRowBytes + k], kRowBytes);
        all.loops[l].row(&x[support.first * kRowBytes], kRowBytes, support, n, out.data());
        EXPECT_EQ(out, want) << all.loops[l].name << ", " << n << " columns, " << support.taps << " taps";
      }
}

TEST(ResampleLoops, SumAlongRows) {
  constexpr std::int64_t kPixels = 21, kCount = 19;
  const Supports supports(kCount, kPixels);
  const auto all = all_resample_loops();
  for (int l = 0; l < all.count; ++l)
    for (const std::int64_t channels : {1, 3, 4})
      for (const bool planar : {false, true}) {
        const ResampleLoops& loops = all.loops[l];
        const std::int64_t row_bytes = kPixels * channels, plane = planar ? kCount + kResampleSlack : 0;
        const std::int64_t out_bytes = planar ? plane * channels : kCount * channels + kResampleSlack;
        const Bytes x = noise(loops.rows * row_bytes, 4);
        std::vector<const std::uint8_t*> rows;
        for (std::int64_t r = 0; r < loops.rows; ++r) rows.push_back(&x[r * row_bytes]);
        Bytes out(loops.rows * out_bytes), turned(loops.turned_bytes(kCount, kPixels, channels));
        loops.columns({rows.data(), row_bytes, channels, supports.list.data(), kCount, 0, kPixels, turned.data(),
                       out.data(), out_bytes, plane});
        for (std::int64_t r = 0; r < loops.rows; ++r)
          for (std::int64_t i = 0; i < kCount; ++i)
            for (std::int64_t c = 0; c < channels; ++c)
              ASSERT_EQ(out[r * out_bytes + (planar ? c * plane + i : i * channels + c)],
                        supports.sum(i, rows[r] + supports.list[i].first * channels + c, channels))
                  << loops.name << ", row " << r << ", column " << i << ", channel " << c << " of " << channels;
      }
}

// ---- Sizes and refusals ----------------------------------------------------------------------------

TEST(ShortestEdge, WorkedValues) {
  EXPECT_EQ(shortest_edge(480, 640, 800, 1333), (Size{800, 1067}));    // 800 / 480 * 640 = 1066.7
  EXPECT_EQ(shortest_edge(1080, 1920, 800, 1333), (Size{750, 1333}));  // 1422.2 is too long; 800 * 0.937 = 749.8
  EXPECT_EQ(shortest_edge(1920, 1080, 800, 1333), (Size{1333, 750}));
  EXPECT_EQ(shortest_edge(427, 640, 800, 1333), (Size{800, 1199}));  // 1199.06
  EXPECT_EQ(shortest_edge(3, 5, 2, 100), (Size{2, 3}));              // 3.33
  EXPECT_EQ(shortest_edge(2, 5, 3, 100), (Size{3, 8}));              // 7.5 is rounded up
  EXPECT_EQ(shortest_edge(123, 45, 0, 10), (Size{123, 45}));
}

TEST(ShortestEdge, Laws) {
  std::mt19937 random(5);
  const auto draw = [&](unsigned most) { return 1 + static_cast<std::int64_t>(random() % most); };
  for (int i = 0; i < 20000; ++i) {
    const std::int64_t height = draw(4000), width = draw(4000), min_size = draw(1500), max_size = draw(2000);
    if (std::max(height, width) / std::min(height, width) > 2 * max_size - 1) continue;  // no pixel is left
    const Size size = shortest_edge(height, width, min_size, max_size);
    const auto told = [&] { return text({height, width, size.height, size.width}); };
    const auto [shorter, longer] = std::minmax(size.height, size.width);
    EXPECT_TRUE(shorter <= min_size && longer <= max_size) << told();
    EXPECT_TRUE(shorter == min_size || longer == max_size) << told();
    EXPECT_LE(std::abs(size.height * width - size.width * height), std::max(height, width)) << told();
    EXPECT_EQ(shortest_edge(width, height, min_size, max_size), (Size{size.width, size.height})) << told();
  }
}

TEST(ShortestEdge, Refuses) {
  const auto message = [](std::int64_t height, std::int64_t width, std::int64_t min_size, std::int64_t max_size) {
    return message_of<InvalidArgument>([=] { (void)shortest_edge(height, width, min_size, max_size); });
  };
  EXPECT_EQ(message(0, 5, 800, 1333), "shortest_edge: the image is 0 x 5 pixels large, wanted 1 to 16777216 on a side");
  EXPECT_NE(message(5, 1 << 25, 800, 1333).find("wanted 1 to 16777216 on a side"), std::string::npos);
  EXPECT_NE(message(5, 5, -1, 1333).find("min_size is -1, max_size 1333"), std::string::npos);
  EXPECT_NE(message(5, 5, 800, 0).find("min_size is 800, max_size 0"), std::string::npos);
  EXPECT_NE(message(1, 4000, 800, 1333).find("1 x 4000 pixels is so long"), std::string::npos);
}

TEST(Resize, Refuses) {
  const Picture picture(4, 6, 3);
  Bytes out(3 * 100);
  std::vector<float> planes(100);
  const auto message = [&](ImageView image, Size size, std::int64_t row_bytes, int threads = 1) {
    return message_of<InvalidArgument>([&] { resize(image, size, out.data(), row_bytes, threads); });
  };
  const auto has = [](const std::string& text, const char* part) {
    EXPECT_NE(text.find(part), std::string::npos) << "message: '" << text << '\'';
  };
  const ImageView good = picture.view;
  has(message({nullptr, 4, 6, 18, 3}, {2, 2}, 6), "the image is empty: 4 x 6 pixels of 3 channels");
  has(message({good.data, 0, 6, 3, 18}, {2, 2}, 6), "the image is empty: 0 x 6");
  has(message({good.data, 4, 6, 18, 0}, {2, 2}, 6), "of 0 channels");
  has(message({good.data, 4, 6, 17}, {2, 2}, 6), "row_bytes of the image is 17, wanted at least 3 * 6");
  has(message({good.data, 4, 6, -18}, {2, 2}, 6), "row_bytes of the image is -18");
  has(message({good.data, 4, 6, INT64_MAX, INT64_MAX / 6}, {2, 2}, 6), "channels, wanted at most 16777216");
  has(message({good.data, 1 << 24, 6, INT64_MAX / 2}, {2, 2}, 6), "is above 2^63");
  has(message(good, {0, 2}, 6), "the result would have 0 x 2 pixels");
  has(message(good, {2, -3}, 6), "the result would have 2 x -3 pixels");
  has(message(good, {(1 << 24) + 1, 2}, 6), "a side may be at most 16777216");
  has(message({good.data, 4, INT64_MAX, 1, INT64_MAX}, {2, 2}, 6), "a side may be at most 16777216");
  has(message(good, {2, 2}, 5), "out_row_bytes is 5, wanted at least 3 * 2");
  has(message(good, {2, 2}, 6, -1), "threads is -1");
  const auto planes_message = [&](std::vector<PlaneSource> sources, Size padded) {
    return message_of<InvalidArgument>([&] { resize_into_planes(good, {2, 2}, sources, padded, planes.data()); });
  };
  has(planes_message({{0}}, {2, 1}), "2 x 2 pixels do not fit into planes of 2 x 1");
  has(planes_message({{3}}, {2, 2}), "a plane of channel 3, wanted one of the image's 3");
  has(planes_message({{-1}}, {2, 2}), "a plane of channel -1");
  has(planes_message({{0}}, {INT64_MAX, 2}), "is above 2^63");
}

}  // namespace
}  // namespace d2deploy
