// Semantic maps at another size, and things and stuff merged: worked values, then plain loops.
#include "detector/panoptic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>

#include "core/threads.h"
#include "d2deploy/error.h"
#include "d2deploy/mask.h"
#include "detector/semantic.h"
#include "message_of.h"

namespace d2deploy {
namespace {

std::vector<float> resized(const std::vector<float>& row, std::int64_t count, std::int64_t wanted) {
  const Tensor map = Tensor::of<float>({1, 1, 1, static_cast<std::int64_t>(row.size())}, row);
  const Tensor out = resize_logits(map, 0, {1, count}, {1, wanted});
  return {out.values<float>().begin(), out.values<float>().end()};
}

TEST(ResizeLogits, WorkedValues) {
  EXPECT_EQ(resized({0, 4}, 2, 4), (std::vector<float>{0, 1, 3, 4}));
  EXPECT_EQ(resized({0, 4, 100}, 2, 4), (std::vector<float>{0, 1, 3, 4}));  // padding is cut off first
  EXPECT_EQ(resized({0, 1, 2, 3}, 4, 2), (std::vector<float>{0.5F, 2.5F}));
  EXPECT_EQ(resized({7, 8, 9}, 3, 3), (std::vector<float>{7, 8, 9}));
  EXPECT_EQ(resized({1, 2, 9}, 3, 1), (std::vector<float>{2}));
}

TEST(ResizeLogits, EqualsTheDefinitionAndItsHighestAreTheClasses) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const auto upto = [&](int most) { return std::uniform_int_distribution<std::int64_t>(1, most)(random); };
  for (int round = 0; round < 60; ++round) {
    const std::int64_t channels = upto(5), height = upto(20), width = upto(20);
    const Size size{upto(static_cast<int>(height)), upto(static_cast<int>(width))};
    Size wanted{upto(60), upto(60)};
    if (round % 3 == 0) wanted.height = size.height;
    if (round % 4 == 0) wanted.width = size.width;
    std::vector<float> values(2 * channels * height * width);
    for (float& v : values) v = normal(random);
    const Tensor map = Tensor::of<float>({2, channels, height, width}, values);
    const ThreadScope threads(1 + round % 3);
    const Tensor logits = resize_logits(map, 1, size, wanted);
    Tensor kept;
    const auto classes = classes_of_pixels(map, 1, size, wanted, round % 2 == 0 ? &kept : nullptr);
    ASSERT_EQ(logits.shape(), (Shape{channels, wanted.height, wanted.width}));
    if (round % 2 == 0) {
      ASSERT_EQ(kept.shape(), logits.shape());
      ASSERT_TRUE(std::ranges::equal(kept.values<float>(), logits.values<float>())) << "round " << round;
    }
    for (std::int64_t y = 0; y < wanted.height; ++y)
      for (std::int64_t x = 0; x < wanted.width; ++x) {
        const auto place = [](std::int64_t pixel, std::int64_t cells, std::int64_t pixels) {
          const double u =
              (static_cast<double>(pixel) + 0.5) * static_cast<double>(cells) / static_cast<double>(pixels);
          return std::clamp(u - 0.5, 0.0, static_cast<double>(cells - 1));
        };
        const double v = place(y, size.height, wanted.height), u = place(x, size.width, wanted.width);
        std::int64_t best = 0;
        const auto got = [&](std::int64_t c) {
          return logits.values<float>()[(c * wanted.height + y) * wanted.width + x];
        };
        for (std::int64_t c = 0; c < channels; ++c) {
          double want = 0;
          for (std::int64_t i = 0; i < size.height; ++i)
            for (std::int64_t j = 0; j < size.width; ++j)
              want += std::max(1 - std::fabs(v - static_cast<double>(i)), 0.0) *
                      std::max(1 - std::fabs(u - static_cast<double>(j)), 0.0) *
                      static_cast<double>(values[((channels + c) * height + i) * width + j]);
          ASSERT_NEAR(got(c), want, 2e-5) << "round " << round << " channel " << c << " at " << y << ", " << x;
          if (got(c) > got(best)) best = c;
        }
        ASSERT_EQ(classes[y * wanted.width + x], best) << "round " << round << " at " << y << ", " << x;
      }
  }
}

TEST(ResizeLogits, RefusesMapsThatAreTooSmall) {
  const Tensor map = Tensor::allocate({DType::float32, {1, 2, 3, 4}, {}});
  const auto refusal = [&](const Tensor& tensor, std::int64_t image, const Size& size) {
    return message_of<InvalidModel>([&] { (void)classes_of_pixels(tensor, image, size, {5, 5}); });
  };
  EXPECT_NE(refusal(map, 0, {3, 5}).find("(1, 2, 3, 4) is smaller than the net's input of 3 x 5"), std::string::npos);
  EXPECT_NE(refusal(map, 1, {3, 4}).find("2 rows or more"), std::string::npos);
  EXPECT_NE(refusal(Tensor::allocate({DType::float32, {1, 0, 3, 4}, {}}), 0, {3, 4}).find("smaller"),
            std::string::npos);
  EXPECT_NE(message_of<InvalidArgument>([&] {
              (void)resize_logits(map, 0, {3, 4}, {0, 5});
            }).find("must not be empty"),
            std::string::npos);
}

struct Things {
  Detections found;
  std::vector<float> masks;  // of one cell: each fills its box

  Things& add(float score, std::int64_t label, const std::array<float, 4>& box) {
    found.boxes.insert(found.boxes.end(), box.begin(), box.end());
    found.scores.push_back(score);
    found.classes.push_back(label);
    masks.push_back(1);
    return *this;
  }
  Panoptic merged(const std::vector<std::int32_t>& classes, const Size& size, const PanopticRule& rule) const {
    return combine_panoptic(found, Tensor::of<float>({found.count(), 1, 1}, masks), classes, size, rule);
  }
};

void expect_segment(const Segment& got, const Segment& want) {
  EXPECT_EQ(got.id, want.id);
  EXPECT_EQ(got.is_thing, want.is_thing) << "segment " << want.id;
  EXPECT_EQ(got.score, want.score) << "segment " << want.id;
  EXPECT_EQ(got.category_id, want.category_id) << "segment " << want.id;
  EXPECT_EQ(got.instance_id, want.instance_id) << "segment " << want.id;
  EXPECT_EQ(got.area, want.area) << "segment " << want.id;
}

TEST(CombinePanoptic, WorkedValues) {
  Things things;
  things.add(0.6F, 5, {1, 0, 4, 2}).add(0.9F, 7, {0, 0, 2, 2}).add(0.4F, 1, {4, 0, 6, 2});
  const std::vector<std::int32_t> classes{0, 0, 0, 0, 3, 2,  //
                                          0, 0, 0, 0, 3, 3};
  const Panoptic out = things.merged(classes, {2, 6}, {0.5, 2, 0.5});
  // The better thing first; the other keeps what is left of it; class 2 is too small, the third thing too weak.
  EXPECT_EQ(out.map, (std::vector<std::int32_t>{1, 1, 2, 2, 3, 0, 1, 1, 2, 2, 3, 3}));
  ASSERT_EQ(out.segments.size(), 3U);
  expect_segment(out.segments[0], {1, true, 0.9F, 7, 1, 4});
  expect_segment(out.segments[1], {2, true, 0.6F, 5, 0, 4});
  expect_segment(out.segments[2], {3, false, 0, 3, -1, 3});
}

TEST(CombinePanoptic, OverlapsUpToTheThresholdAreAllowed) {
  Things things;
  things.add(0.9F, 0, {0, 0, 2, 1}).add(0.8F, 0, {1, 0, 3, 1});
  const std::vector<std::int32_t> classes(4, 0);
  EXPECT_EQ(things.merged(classes, {1, 4}, {0.5, 1, 0.5}).segments.size(), 2U);  // half of it is taken
  EXPECT_EQ(things.merged(classes, {1, 4}, {0.49, 1, 0.5}).segments.size(), 1U);
}

TEST(CombinePanoptic, WithoutThings) {
  const Panoptic out = combine_panoptic({}, {}, std::vector<std::int32_t>{4, 4, 0, 1}, {1, 4}, {0.5, 1, 0.5});
  EXPECT_EQ(out.map, (std::vector<std::int32_t>{2, 2, 0, 1}));
  ASSERT_EQ(out.segments.size(), 2U);
  expect_segment(out.segments[0], {1, false, 0, 1, -1, 1});
  expect_segment(out.segments[1], {2, false, 0, 4, -1, 2});
}

TEST(CombinePanoptic, ThingsWithoutPixelsAreNone) {
  Things things;
  things.add(0.9F, 0, {10, 10, 12, 12}).add(0.8F, 0, {0, 0, 1, 1}).add(0.7F, 0, {1, 1, 1, 1});
  things.masks[1] = 0.1F;
  EXPECT_TRUE(things.merged(std::vector<std::int32_t>(4, 0), {2, 2}, {0.5, 1, 0.5}).segments.empty());
}

// Detectron2's steps, with whole bitmaps.
Panoptic reference(const Things& things, std::int64_t side, const std::vector<std::int32_t>& classes, const Size& size,
                   const PanopticRule& rule) {
  Panoptic out;
  out.map.assign(classes.size(), 0);
  std::vector<std::int64_t> order(things.found.count());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](auto a, auto b) { return things.found.scores[a] > things.found.scores[b]; });
  for (const std::int64_t i : order) {
    if (static_cast<double>(things.found.scores[i]) < rule.score_threshold) break;
    const std::span<const float> mask(things.masks.data() + i * side * side, static_cast<std::size_t>(side * side));
    const auto pixels = paste_mask(mask, side, things.found.box(i).first<4>(), size.height, size.width);
    double all = 0, taken = 0;
    for (std::size_t p = 0; p < pixels.size(); ++p) {
      all += pixels[p];
      taken += pixels[p] != 0 && out.map[p] != 0 ? 1 : 0;
    }
    if (all == 0 || taken / all > rule.overlap_threshold) continue;
    const auto id = static_cast<std::int32_t>(out.segments.size()) + 1;
    for (std::size_t p = 0; p < pixels.size(); ++p)
      if (pixels[p] != 0 && out.map[p] == 0) out.map[p] = id;
    out.segments.push_back(
        {id, true, things.found.scores[i], things.found.classes[i], i, std::ranges::count(out.map, id)});
  }
  for (std::int32_t label = 1; label < 100; ++label) {
    std::int64_t area = 0;
    for (std::size_t p = 0; p < classes.size(); ++p) area += classes[p] == label && out.map[p] == 0 ? 1 : 0;
    if (std::ranges::count(classes, label) == 0 || area < rule.stuff_area) continue;
    const auto id = static_cast<std::int32_t>(out.segments.size()) + 1;
    for (std::size_t p = 0; p < classes.size(); ++p)
      if (classes[p] == label && out.map[p] == 0) out.map[p] = id;
    out.segments.push_back({id, false, 0, label, -1, area});
  }
  return out;
}

TEST(CombinePanoptic, EqualsTheReference) {
  std::mt19937 random(3);
  std::uniform_real_distribution<float> unit(0, 1);
  for (int round = 0; round < 200; ++round) {
    const std::int64_t side = 1 + round % 5;
    const Size size{20 + round % 7, 31};
    Things things;
    for (int i = 0; i < round % 9; ++i) {
      const float x = 30 * unit(random) - 3, y = 20 * unit(random) - 3;
      things.add(std::round(unit(random) * 8) / 8, i, {x, y, x + 15 * unit(random), y + 15 * unit(random)});
    }
    things.masks.resize(things.found.count() * side * side);
    for (float& v : things.masks) v = round % 2 == 0 ? unit(random) : 0.4F + 0.6F * unit(random);
    std::vector<std::int32_t> classes(size.height * size.width);
    for (std::int64_t p = 0; p < size.height * size.width; ++p)
      classes[p] = static_cast<std::int32_t>((p / size.width / 6 * 7 + p % size.width / 8 * 3) % 5);
    const PanopticRule rule{std::array{0.5, 0.0, 1.0}[round % 3],
                            std::array{0, 1, 60}[round % 3 == 2 ? 0 : round % 2 + 1], 0.125 * (round % 4)};
    const Panoptic want = reference(things, side, classes, size, rule);
    const Panoptic got = combine_panoptic(
        things.found, Tensor::of<float>({things.found.count(), side, side}, things.masks), classes, size, rule);
    EXPECT_EQ(got.map, want.map) << "round " << round;
    ASSERT_EQ(got.segments.size(), want.segments.size()) << "round " << round;
    for (std::size_t i = 0; i < want.segments.size(); ++i) expect_segment(got.segments[i], want.segments[i]);
  }
}

TEST(CombinePanoptic, RefusesMasksThatDoNotFit) {
  Things things;
  things.add(0.9F, 0, {0, 0, 1, 1});
  const std::vector<std::int32_t> classes(4, 0);
  const auto refusal = [&](const Shape& shape) {
    return message_of<InvalidModel>([&] {
      (void)combine_panoptic(things.found, Tensor::allocate({DType::float32, shape, {}}), classes, {2, 2}, {});
    });
  };
  EXPECT_NE(refusal({0, 28, 28}).find("1 rows or more"), std::string::npos);
  EXPECT_NE(refusal({1, 28, 14}).find("square masks"), std::string::npos);
}

}  // namespace
}  // namespace d2deploy
