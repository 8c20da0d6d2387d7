// RetinaNet's detections: worked values, then every anchor and every pair of boxes by plain loops.
#include "detector/retinanet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <tuple>

#include "core/threads.h"
#include "d2deploy/error.h"
#include "message_of.h"

namespace d2deploy {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

float logit(float p) { return std::log(p / (1 - p)); }

Tensor tensor(const Shape& shape, const std::vector<float>& values) {
  return Tensor::of<float>(shape, std::span<const float>(values));
}

// One position, two anchors, two classes.
RetinaNetLevel small_level(const std::vector<float>& scores, const std::vector<float>& deltas = std::vector<float>(8)) {
  std::vector<float> logits;
  for (const float score : scores) logits.push_back(logit(score));
  return {tensor({1, 4, 1, 1}, logits), tensor({1, 8, 1, 1}, deltas), 8, {{-4, -4, 4, 4}, {0, 0, 10, 2}}};
}

TEST(RetinaNet, OnePosition) {
  const std::vector<RetinaNetLevel> levels{
      small_level({0.7F, 0.01F, 0.2F, 0.9F}, {0.5F, 0, 0, 0, 0, 0, std::log(2.0F), 0})};
  const Detections found = decode_retinanet(levels, 0, {});
  EXPECT_EQ(found.classes, (std::vector<std::int64_t>{1, 0, 0}));
  ASSERT_EQ(found.count(), 3);
  EXPECT_FLOAT_EQ(found.scores[0], 0.9F);
  EXPECT_FLOAT_EQ(found.scores[1], 0.7F);
  EXPECT_FLOAT_EQ(found.scores[2], 0.2F);
  const std::vector<float> want{-5, 0, 15, 2, 0, -4, 8, 4, -5, 0, 15, 2};  // half a width to the right; twice as wide
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(found.boxes[i], want[i], 1e-5) << i;
}

// One position of FCOS with two classes; its anchor is as large as the stride.
RetinaNetLevel small_fcos(std::vector<float> scores, float centerness, const std::vector<float>& deltas) {
  for (float& score : scores) score = logit(score);
  return {tensor({1, 2, 1, 1}, scores),
          tensor({1, 4, 1, 1}, deltas),
          8,
          {{-4, -4, 4, 4}},
          tensor({1, 1, 1, 1}, {logit(centerness)})};
}

TEST(Fcos, OnePosition) {
  const RetinaNetLevel level = small_fcos({0.64F, 0.04F}, 0.25F, {0.5F, 1, 2, -3});
  RetinaNetRule rule;
  rule.fcos = true;
  rule.anchor_offset = 0.5F;
  const Detections found = decode_retinanet({&level, 1}, 0, rule);
  EXPECT_EQ(found.classes, (std::vector<std::int64_t>{0, 1}));
  ASSERT_EQ(found.count(), 2);
  EXPECT_FLOAT_EQ(found.scores[0], 0.4F);  // sqrt(0.64 * 0.25)
  EXPECT_FLOAT_EQ(found.scores[1], 0.1F);
  // From (4, 4): half a stride to the left, one up, two to the right; the lower side stays at the centre.
  EXPECT_EQ(found.boxes, (std::vector<float>{0, -4, 20, 4, 0, -4, 20, 4}));
}

TEST(Fcos, ScoresMustBeAboveTheThreshold) {
  RetinaNetRule rule;
  rule.fcos = true;
  const std::vector<float> deltas(4, 1);
  for (const float threshold : {0.05F, 0.3F, 0.45F, 0.9F})
    for (const float score : {0.001F, 0.01F, 0.1F, 0.3F, 0.5F, 0.8F, 0.97F})
      for (const float centerness : {0.01F, 0.2F, 0.6F, 0.99F}) {
        rule.score_threshold = threshold;
        const RetinaNetLevel level = small_fcos({score, 1e-12F}, centerness, deltas);
        const bool above = std::sqrt(static_cast<double>(score) * static_cast<double>(centerness)) > threshold;
        EXPECT_EQ(decode_retinanet({&level, 1}, 0, rule).count(), above ? 1 : 0)
            << threshold << ' ' << score << ' ' << centerness;
      }
  rule.score_threshold = -1;
  EXPECT_EQ(decode_retinanet(std::vector{small_fcos({0.5F, 1e-12F}, 0.5F, deltas)}, 0, rule).count(), 2);
}

TEST(Fcos, CenternessThatDoesNotFitIsRefused) {
  RetinaNetRule rule;
  rule.fcos = true;
  RetinaNetLevel level = small_fcos({0.5F, 0.5F}, 0.5F, {1, 1, 1, 1});
  level.centerness = tensor({1, 1, 1, 2}, {0, 0});
  EXPECT_EQ(message_of<InvalidModel>([&] {
              (void)decode_retinanet({&level, 1}, 0, rule);
            }),
            "box_centerness must be (1, 1, 1, 1) as box_cls is (1, 2, 1, 1), got (1, 1, 1, 2)");
}

TEST(RetinaNet, ScoresMustBeAboveTheThreshold) {
  RetinaNetLevel level = small_level({0.5F, 0.4F, 0.3F, 0.2F});  // a logit of 0 is a score of 0.5 exactly
  RetinaNetRule rule;
  rule.score_threshold = 0.5F;
  EXPECT_EQ(decode_retinanet({&level, 1}, 0, rule).count(), 0);
  rule.score_threshold = std::nextafter(0.5F, 0.0F);
  EXPECT_EQ(decode_retinanet({&level, 1}, 0, rule).count(), 1);
  rule.score_threshold = 0;
  EXPECT_EQ(decode_retinanet({&level, 1}, 0, rule).count(), 4);
  level.logits = tensor({1, 4, 1, 1}, {-kInf, kNaN, kInf, -200});  // scores of 0, NaN, 1 and 0
  const Detections found = decode_retinanet({&level, 1}, 0, rule);
  EXPECT_EQ(found.scores, (std::vector<float>{1}));
  rule.score_threshold = 1;
  EXPECT_EQ(decode_retinanet({&level, 1}, 0, rule).count(), 0);
  rule.score_threshold = -1;
  EXPECT_EQ(decode_retinanet({&level, 1}, 0, rule).count(), 3);  // all but NaN
}

TEST(RetinaNet, TopKCountsEachLevelForItself) {
  const std::vector<RetinaNetLevel> levels{small_level({0.9F, 0.8F, 0.7F, 0.6F}),
                                           small_level({0.5F, 0.4F, 0.3F, 0.2F})};
  RetinaNetRule rule;
  rule.nms_threshold = 1;
  rule.topk_candidates = 2;
  const Detections found = decode_retinanet(levels, 0, rule);
  ASSERT_EQ(found.count(), 4);
  EXPECT_FLOAT_EQ(found.scores[1], 0.8F);
  EXPECT_FLOAT_EQ(found.scores[2], 0.5F);
  rule.max_detections = 3;
  EXPECT_EQ(decode_retinanet(levels, 0, rule).count(), 3);
}

TEST(RetinaNet, BoxesThatAreNotFiniteAreLeftOut) {
  const std::vector<RetinaNetLevel> levels{small_level({0.9F, 0.8F, 0.7F, 0.6F}, {kNaN, 0, 0, 0, 0, 0, 0, 0})};
  EXPECT_EQ(decode_retinanet(levels, 0, {}).classes, (std::vector<std::int64_t>{0, 1}));
  const std::vector<RetinaNetLevel> far{small_level({0.9F, 0.8F, 0.7F, 0.6F}, {0, 0, 0, 0, kInf, 0, 0, 0})};
  EXPECT_EQ(decode_retinanet(far, 0, {}).count(), 2);
}

// Of two boxes without area neither drops the other, unlike in Caffe2's NMS.
TEST(RetinaNet, BoxesWithoutAreaDropNone) {
  RetinaNetLevel level = small_level({0.9F, 0.01F, 0.8F, 0.01F}, {0, 0, -200, 0, 0, 0, -200, 0});
  level.cell_anchors[1] = level.cell_anchors[0];
  EXPECT_EQ(decode_retinanet({&level, 1}, 0, {}).count(), 2);
}

TEST(RetinaNet, SecondImageOfABatch) {
  const RetinaNetLevel one = small_level({0.9F, 0.1F, 0.1F, 0.1F}),
                       two = small_level({0.1F, 0.1F, 0.1F, 0.8F}, std::vector<float>(8, 0.1F));
  std::vector<float> logits, deltas;
  for (const auto* level : {&one, &two}) {
    const auto l = level->logits.values<float>(), d = level->deltas.values<float>();
    logits.insert(logits.end(), l.begin(), l.end());
    deltas.insert(deltas.end(), d.begin(), d.end());
  }
  RetinaNetLevel both = one;
  both.logits = tensor({2, 4, 1, 1}, logits);
  both.deltas = tensor({2, 8, 1, 1}, deltas);
  const Detections want = decode_retinanet({&two, 1}, 0, {}), got = decode_retinanet({&both, 1}, 1, {});
  EXPECT_EQ(got.boxes, want.boxes);
  EXPECT_EQ(got.scores, want.scores);
  EXPECT_EQ(decode_retinanet({&both, 1}, 0, {}).scores, decode_retinanet({&one, 1}, 0, {}).scores);
}

struct Row {
  float score;
  std::array<float, 4> box;
  std::int64_t label, level, index;

  bool before(const Row& other) const {
    return std::tuple(-score, level, index) < std::tuple(-other.score, other.level, other.index);
  }
};

float overlap(const std::array<float, 4>& a, const std::array<float, 4>& b) {
  const float w = std::max(std::min(a[2], b[2]) - std::max(a[0], b[0]), 0.0F);
  const float h = std::max(std::min(a[3], b[3]) - std::max(a[1], b[1]), 0.0F);
  const float area_a = (a[2] - a[0]) * (a[3] - a[1]), area_b = (b[2] - b[0]) * (b[3] - b[1]);
  return w * h / (area_a + area_b - w * h);
}

// The candidates of one level, from each anchor at each position.
std::vector<Row> candidates(const RetinaNetLevel& level, std::int64_t number, const RetinaNetRule& rule) {
  const std::int64_t anchors = static_cast<std::int64_t>(level.cell_anchors.size()),
                     classes = level.logits.dim(1) / anchors;
  const std::int64_t h = level.logits.dim(2), w = level.logits.dim(3);
  std::vector<Row> rows;
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < w; ++x)
      for (std::int64_t a = 0; a < anchors; ++a)
        for (std::int64_t c = 0; c < classes; ++c) {
          const auto at = [&](const Tensor& map, std::int64_t channel) {
            return map.values<float>()[(channel * h + y) * w + x];
          };
          const float score = 1 / (1 + std::exp(-at(level.logits, a * classes + c)));
          if (!(score > rule.score_threshold)) continue;
          const auto& cell = level.cell_anchors[a];
          const float left = (static_cast<float>(x) + rule.anchor_offset) * level.stride;
          const float top = (static_cast<float>(y) + rule.anchor_offset) * level.stride;
          const std::array<float, 4> anchor{cell[0] + left, cell[1] + top, cell[2] + left, cell[3] + top};
          const auto side = [&](std::size_t low, std::int64_t move, std::int64_t grow, float* out) {
            const float size = anchor[low + 2] - anchor[low];
            const float centre =
                at(level.deltas, 4 * a + move) / rule.weights[move] * size + (anchor[low] + 0.5F * size);
            const float growth = std::min(at(level.deltas, 4 * a + grow) / rule.weights[grow], std::log(1000.0F / 16));
            out[0] = centre - 0.5F * (std::exp(growth) * size);
            out[2] = centre + 0.5F * (std::exp(growth) * size);
          };
          Row row{score, {}, c, number, static_cast<std::int64_t>(rows.size())};
          side(0, 0, 2, row.box.data());
          side(1, 1, 3, row.box.data() + 1);
          rows.push_back(row);
        }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.before(b); });
  if (static_cast<std::int64_t>(rows.size()) > rule.topk_candidates) rows.resize(rule.topk_candidates);
  return rows;
}

std::vector<Row> reference(const std::vector<RetinaNetLevel>& levels, const RetinaNetRule& rule) {
  std::vector<Row> all, kept;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const auto rows = candidates(levels[i], static_cast<std::int64_t>(i), rule);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  std::sort(all.begin(), all.end(), [](const Row& a, const Row& b) { return a.before(b); });
  for (const Row& row : all)
    if (std::ranges::none_of(
            kept, [&](const Row& k) { return k.label == row.label && overlap(k.box, row.box) > rule.nms_threshold; }))
      kept.push_back(row);
  if (static_cast<std::int64_t>(kept.size()) > rule.max_detections) kept.resize(rule.max_detections);
  return kept;
}

TEST(RetinaNet, EqualsTheReference) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (int round = 0; round < 60; ++round) {
    std::vector<RetinaNetLevel> levels;
    for (const std::int64_t side : {11, 6, 3}) {
      const auto fill = [&](std::int64_t channels, float mean, float scale, bool whole) {
        std::vector<float> values(channels * side * (side + 1));
        for (float& v : values) v = whole ? std::round(mean + scale * normal(random)) : mean + scale * normal(random);
        return tensor({1, channels, side, side + 1}, values);
      };
      const float stride = static_cast<float>(96 / side), half = 2 * stride;
      levels.push_back({fill(2 * 5, -2, 1.5F, round % 4 == 0),
                        fill(2 * 4, 0, 0.4F, false),
                        stride,  // ties, at times
                        {{-half, -half, half, half}, {-half, -stride, half, stride}}});
    }
    RetinaNetRule rule;
    rule.score_threshold = std::array{0.05F, 0.3F, 0.0F}[round % 3];
    rule.topk_candidates = round % 2 == 0 ? 1000 : 30;
    rule.max_detections = round % 5 == 0 ? 7 : 100;
    rule.weights = {1 + static_cast<float>(round % 2), 1, 2, 1};
    rule.anchor_offset = round % 7 == 0 ? 0.5F : 0;
    const auto want = reference(levels, rule);
    const ThreadScope threads(1 + round % 3);
    const Detections got = decode_retinanet(levels, 0, rule);
    ASSERT_EQ(got.count(), static_cast<std::int64_t>(want.size())) << "round " << round;
    for (std::int64_t i = 0; i < got.count(); ++i) {
      EXPECT_EQ(got.scores[i], want[i].score) << "round " << round << " row " << i;
      EXPECT_EQ(got.classes[i], want[i].label) << "round " << round << " row " << i;
      for (std::size_t k = 0; k < 4; ++k)
        EXPECT_NEAR(got.box(i)[k], want[i].box[k], 1e-3) << "round " << round << " row " << i;
    }
  }
}

// More candidates than are remembered at once.
TEST(RetinaNet, BestOfVeryMany) {
  constexpr std::int64_t kSide = 100;
  std::vector<float> logits(kSide * kSide * 2);
  std::mt19937 random(2);
  for (float& v : logits) v = std::uniform_real_distribution<float>(-1, 1)(random);
  RetinaNetLevel level{tensor({1, 2, kSide, kSide}, logits),
                       tensor({1, 4, kSide, kSide}, std::vector<float>(4 * kSide * kSide)),
                       8,
                       {{0, 0, 4, 4}}};
  RetinaNetRule rule;
  rule.topk_candidates = 50;
  const Detections found = decode_retinanet({&level, 1}, 0, rule);
  std::ranges::sort(logits, std::greater<>());
  ASSERT_EQ(found.count(), 50);
  for (std::int64_t i = 0; i < 50; ++i) EXPECT_EQ(found.scores[i], 1 / (1 + std::exp(-logits[i]))) << i;
}

TEST(RetinaNet, RefusesShapesThatDoNotFit) {
  const auto refusal = [](const Shape& logits, const Shape& deltas) {
    RetinaNetLevel level = small_level({0.1F, 0.1F, 0.1F, 0.1F});
    level.logits = Tensor::allocate({DType::float32, logits, {}});
    level.deltas = Tensor::allocate({DType::float32, deltas, {}});
    return message_of<InvalidModel>([&] { (void)decode_retinanet({&level, 1}, 0, {}); });
  };
  EXPECT_NE(refusal({1, 3, 1, 1}, {1, 8, 1, 1}).find("multiple of the 2 anchors"), std::string::npos);
  EXPECT_NE(refusal({1, 4, 1, 1}, {1, 4, 1, 1}).find("box_delta must be (1, 8, 1, 1)"), std::string::npos);
  EXPECT_NE(refusal({1, 4, 2, 1}, {1, 8, 1, 2}).find("box_delta must be (1, 8, 2, 1)"), std::string::npos);
  EXPECT_NE(refusal({0, 4, 1, 1}, {1, 8, 1, 1}).find("1 rows or more"), std::string::npos);
  RetinaNetRule rule;
  rule.topk_candidates = 0;
  EXPECT_NE(message_of<InvalidModel>([&] { (void)decode_retinanet({}, 0, rule); }).find("topk_candidates 0"),
            std::string::npos);
}

}  // namespace
}  // namespace d2deploy
