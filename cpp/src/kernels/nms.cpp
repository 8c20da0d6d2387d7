#include "kernels/nms.h"

#include <algorithm>
#include <utility>

#include "kernels/rotated_boxes.h"

namespace d2deploy {

namespace {

// The boxes kept so far, one array per coordinate, so that a candidate meets many of them at once.
struct Kept {
  float *x1, *y1, *x2, *y2, *area;
  std::int64_t count = 0;

  Kept(float* memory, std::int64_t room)
      : x1(memory), y1(memory + room), x2(memory + 2 * room), y2(memory + 3 * room), area(memory + 4 * room) {}

  void add(const Box& b, float box_area) {
    x1[count] = b.x1;
    y1[count] = b.y1;
    x2[count] = b.x2;
    y2[count] = b.y2;
    area[count] = box_area;
    ++count;
  }
};

// Whether a kept box has an IoU with `b` that is not <= threshold.
bool suppressed(const Kept& kept, const Box& b, float box_area, float threshold, float plus_one) {
  const auto hit = [&](std::int64_t k) {
    return !(iou({kept.x1[k], kept.y1[k], kept.x2[k], kept.y2[k]}, kept.area[k], b, box_area, plus_one) <= threshold);
  };
  constexpr std::int64_t kLanes = 16;  // compared without a branch between them: these loops become vector code
  std::int64_t k = 0;
  for (; k + kLanes <= kept.count; k += kLanes) {
    std::int32_t hits = 0;
    for (std::int64_t lane = 0; lane < kLanes; ++lane) hits |= hit(k + lane) ? 1 : 0;
    if (hits != 0) return true;
  }
  for (; k < kept.count; ++k)
    if (hit(k)) return true;
  return false;
}

// `overlap_with(row)` gives a function: the IoU of that candidate with another.
template <class OverlapWith>
std::int64_t soft_nms_by(std::int32_t* order, float* scores, std::int64_t count, const SoftNms& rule,
                         const OverlapWith& overlap_with) {
  std::int64_t kept = 0;
  for (std::int64_t left = count; kept < left; ++kept) {
    const auto best = std::max_element(scores + kept, scores + left) - scores;
    std::swap(order[kept], order[best]);
    std::swap(scores[kept], scores[best]);
    const auto overlap_of = overlap_with(order[kept]);
    std::int64_t stay = kept + 1;
    for (std::int64_t i = kept + 1; i < left; ++i) {
      const float score = scores[i] * rule.weight(overlap_of(order[i]));
      if (!(score >= rule.least_score)) continue;
      order[stay] = order[i];
      scores[stay] = score;
      ++stay;
    }
    left = stay;
  }
  return kept;
}

}  // namespace

std::int64_t greedy_nms(const float* boxes, std::int64_t stride, std::int32_t* order, std::int64_t count,
                        float threshold, bool plus_one, std::int64_t limit, float* scratch) {
  const float p = plus_one ? 1.0F : 0.0F;
  Kept kept(scratch, count);
  for (std::int64_t i = 0; i < count && (limit <= 0 || kept.count < limit); ++i) {
    const Box b = load_box(boxes + order[i] * stride);
    const float box_area = area(b, p);
    if (suppressed(kept, b, box_area, threshold, p)) continue;
    order[kept.count] = order[i];
    kept.add(b, box_area);
  }
  return kept.count;
}

std::int64_t greedy_nms_rotated(const float* boxes, std::int64_t stride, std::int32_t* order, std::int64_t count,
                                float threshold, std::int64_t limit, float* scratch) {
  static_assert(sizeof(RotatedFrame) == nms_scratch_floats(1, true) * sizeof(float));
  auto* kept = reinterpret_cast<RotatedFrame*>(scratch);
  std::int64_t rows = 0;
  for (std::int64_t i = 0; i < count && (limit <= 0 || rows < limit); ++i) {
    const RotatedFrame b = rotated_frame(load_rotated_box(boxes + order[i] * stride));
    if (std::any_of(kept, kept + rows, [&](const RotatedFrame& k) { return !(iou(k, b) <= threshold); })) continue;
    order[rows] = order[i];
    kept[rows++] = b;
  }
  return rows;
}

std::int64_t soft_nms(const float* boxes, std::int64_t stride, std::int32_t* order, float* scores, std::int64_t count,
                      const SoftNms& rule, bool plus_one) {
  const float p = plus_one ? 1.0F : 0.0F;
  return soft_nms_by(order, scores, count, rule, [&](std::int32_t row) {
    const Box b = load_box(boxes + row * stride);
    return [=, area_b = area(b, p)](std::int32_t other) {
      const Box c = load_box(boxes + other * stride);
      return iou(b, area_b, c, area(c, p), p);
    };
  });
}

std::int64_t soft_nms_rotated(const float* boxes, std::int64_t stride, std::int32_t* order, float* scores,
                              std::int64_t count, const SoftNms& rule) {
  return soft_nms_by(order, scores, count, rule, [&](std::int32_t row) {
    return [=, b = rotated_frame(load_rotated_box(boxes + row * stride))](std::int32_t other) {
      return iou(b, rotated_frame(load_rotated_box(boxes + other * stride)));
    };
  });
}

}  // namespace d2deploy
