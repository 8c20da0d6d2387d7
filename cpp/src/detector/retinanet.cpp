#include "detector/retinanet.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <numeric>

#include "core/check.h"
#include "core/threads.h"
#include "kernels/boxes.h"
#include "kernels/nms.h"

namespace d2deploy {

namespace {

struct Candidate {
  float score;
  std::int64_t index;  // ((y W + x) A + anchor) C + class

  // Whether it comes before another.
  bool operator<(const Candidate& other) const {
    return score != other.score ? score > other.score : index < other.index;
  }
};

struct Grid {
  std::int64_t anchors, classes, height, width;

  std::int64_t area() const { return height * width; }
};

Grid grid_of(const RetinaNetLevel& level, std::int64_t image, const RetinaNetRule& rule) {
  check_output("box_cls", level.logits, 4, image + 1);
  check_output("box_delta", level.deltas, 4, image + 1);
  const auto anchors = static_cast<std::int64_t>(level.cell_anchors.size());
  const Shape &logits = level.logits.shape(), &deltas = level.deltas.shape();
  check<InvalidModel>(anchors > 0 && logits[1] > 0 && logits[1] % anchors == 0, "box_cls ", logits,
                      " must have a number of channels that is a multiple of the ", anchors, " anchors of a position");
  check<InvalidModel>(deltas[1] == 4 * anchors && deltas[2] == logits[2] && deltas[3] == logits[3],
                      "box_delta must be (", logits[0], ", ", 4 * anchors, ", ", logits[2], ", ", logits[3],
                      ") as box_cls is ", logits, ", got ", deltas);
  if (rule.fcos) {
    check_output("box_centerness", level.centerness, 4, image + 1);
    const Shape& found = level.centerness.shape();
    check<InvalidModel>(found[1] == anchors && found[2] == logits[2] && found[3] == logits[3],
                        "box_centerness must be (", logits[0], ", ", anchors, ", ", logits[2], ", ", logits[3],
                        ") as box_cls is ", logits, ", got ", found);
  }
  return {anchors, logits[1] / anchors, logits[2], logits[3]};
}

// The best candidates seen so far.
class Best {
 public:
  explicit Best(std::int64_t limit) : limit_(static_cast<std::size_t>(limit)) {}
  void add(Candidate candidate) {
    found_.push_back(candidate);
    if (found_.size() >= 2 * limit_ + 1024) cut();
  }
  std::vector<Candidate>& cut() {
    if (found_.size() > limit_) {
      std::nth_element(found_.begin(), found_.begin() + static_cast<std::ptrdiff_t>(limit_), found_.end());
      found_.resize(limit_);
    }
    return found_;
  }

 private:
  std::size_t limit_;
  std::vector<Candidate> found_;
};

// Logits below cannot have a score above the threshold: few are not, and exp is slow. The distance of 0.01 is far more
// than what the rounding of scores is worth up to 0.99.
float least_logit(float threshold) {
  if (threshold < 0) return -std::numeric_limits<float>::infinity();
  const double p = std::min(static_cast<double>(threshold), 0.99);
  return static_cast<float>(std::log(p / (1 - p)) - 0.01);
}

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

// The candidates of a level, by falling score.
std::vector<Candidate> candidates_of(const RetinaNetLevel& level, const Grid& grid, std::int64_t image,
                                     const RetinaNetRule& rule) {
  const std::int64_t channels = grid.anchors * grid.classes, area = grid.area();
  const float* logits = level.logits.data<float>() + image * channels * area;
  const float* centerness = rule.fcos ? level.centerness.data<float>() + image * grid.anchors * area : nullptr;
  // A centerness is at most 1, so that the square of a score is no more than what its class alone would give.
  const bool squared = rule.fcos && rule.score_threshold >= 0;
  const float least = least_logit(squared ? rule.score_threshold * rule.score_threshold : rule.score_threshold);
  Best best(rule.topk_candidates);
  std::mutex mutex;
  constexpr std::int64_t kGrain = 1 << 16;  // logits
  parallel_for(channels, kGrain / std::max<std::int64_t>(area, 1) + 1, [&](std::int64_t begin, std::int64_t end) {
    Best part(rule.topk_candidates);
    for (std::int64_t channel = begin; channel < end; ++channel) {
      const float* x = logits + channel * area;
      for (std::int64_t i = 0; i < area; ++i) {
        if (!(x[i] >= least)) continue;
        float score = sigmoid(x[i]);
        if (rule.fcos) score = std::sqrt(score * sigmoid(centerness[channel / grid.classes * area + i]));
        if (score > rule.score_threshold) part.add({score, i * channels + channel});
      }
    }
    const std::scoped_lock lock(mutex);
    for (const Candidate& candidate : part.cut()) best.add(candidate);
  });
  std::vector<Candidate> found = std::move(best.cut());
  std::sort(found.begin(), found.end());
  return found;
}

// NaN stays NaN.
Box linear_box(const Box& anchor, const std::array<float, 4>& deltas) {
  const float x = 0.5F * (anchor.x1 + anchor.x2), y = 0.5F * (anchor.y1 + anchor.y2);
  const float width = anchor.x2 - anchor.x1, height = anchor.y2 - anchor.y1;
  const auto side = [&](std::size_t i, float size) { return (deltas[i] < 0 ? 0.0F : deltas[i]) * size; };
  return {x - side(0, width), y - side(1, height), x + side(2, width), y + side(3, height)};
}

Box box_of(const RetinaNetLevel& level, const Grid& grid, std::int64_t image, std::int64_t index,
           const RetinaNetRule& rule) {
  const std::int64_t row = index / grid.classes, anchor = row % grid.anchors, place = row / grid.anchors;
  const float shift_x = (static_cast<float>(place % grid.width) + rule.anchor_offset) * level.stride;
  const float shift_y = (static_cast<float>(place / grid.width) + rule.anchor_offset) * level.stride;
  const auto& cell = level.cell_anchors[anchor];
  const Box box{cell[0] + shift_x, cell[1] + shift_y, cell[2] + shift_x, cell[3] + shift_y};
  const float* delta = level.deltas.data<float>() + (image * grid.anchors + anchor) * 4 * grid.area() + place;
  const std::array<float, 4> own{delta[0], delta[grid.area()], delta[2 * grid.area()], delta[3 * grid.area()]};
  if (rule.fcos) return linear_box(box, own);
  return decode_box(box, own.data(), {rule.weights[0], rule.weights[1], rule.weights[2], rule.weights[3]}, 0);
}

// Those that NMS leaves of one class; `members` by rank.
void suppress(const Detections& found, std::vector<std::int32_t>& members, const RetinaNetRule& rule,
              std::vector<std::int64_t>& kept) {
  // Of two boxes without area neither drops the other here, while greedy_nms drops. With other boxes they share
  // nothing.
  const auto rest = std::stable_partition(members.begin(), members.end(),
                                          [&](std::int32_t i) { return area(load_box(found.box(i).data()), 0) > 0; });
  const std::int64_t count = rest - members.begin();
  kept.insert(kept.end(), rest, members.end());
  std::vector<float> scratch(nms_scratch_floats(count));
  const std::int64_t left = greedy_nms(found.boxes.data(), 4, members.data(), count, rule.nms_threshold, false,
                                       rule.max_detections, scratch.data());
  kept.insert(kept.end(), members.begin(), members.begin() + left);
}

}  // namespace

Detections decode_retinanet(std::span<const RetinaNetLevel> levels, std::int64_t image, const RetinaNetRule& rule) {
  check<InvalidModel>(rule.topk_candidates > 0 && rule.topk_candidates <= INT32_MAX && rule.max_detections > 0,
                      "RetinaNet: topk_candidates ", rule.topk_candidates, " and max_detections_per_image ",
                      rule.max_detections, " must be from 1 to 2^31 - 1");
  Detections found;
  for (const RetinaNetLevel& level : levels) {
    const Grid grid = grid_of(level, image, rule);
    for (const Candidate& candidate : candidates_of(level, grid, image, rule)) {
      const Box box = box_of(level, grid, image, candidate.index, rule);
      if (!is_finite(box)) continue;
      found.boxes.insert(found.boxes.end(), {box.x1, box.y1, box.x2, box.y2});
      found.scores.push_back(candidate.score);
      found.classes.push_back(candidate.index % grid.classes);
    }
  }
  check<Unsupported>(found.count() <= INT32_MAX, "RetinaNet: takes at most 2^31 - 1 candidates, got ", found.count());

  std::vector<std::int32_t> order(found.count());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](std::int32_t a, std::int32_t b) { return found.scores[a] > found.scores[b]; });
  std::map<std::int64_t, std::vector<std::int32_t>> members;
  for (const std::int32_t i : order) members[found.classes[i]].push_back(i);
  std::vector<std::int64_t> kept;
  for (auto& [label, of_class] : members) suppress(found, of_class, rule, kept);
  std::ranges::sort(kept, [&](std::int64_t a, std::int64_t b) {
    return found.scores[a] != found.scores[b] ? found.scores[a] > found.scores[b] : a < b;
  });
  if (static_cast<std::int64_t>(kept.size()) > rule.max_detections) kept.resize(rule.max_detections);
  keep(found, kept);
  return found;
}

}  // namespace d2deploy
