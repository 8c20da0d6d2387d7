// Non-maximum suppression of upright boxes (x1, y1, x2, y2) and of rotated ones (x, y, w, h, angle).
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/simt/host_device.h"

namespace d2deploy {

/// Floats of scratch memory, aligned to 8 bytes, that `greedy_nms` wants for `count` candidates.
constexpr std::int64_t nms_scratch_floats(std::int64_t count, bool rotated = false) {
  return (rotated ? 16 : 5) * count;
}

/// Keeps the first candidate, drops all others whose IoU with it is not <= `threshold` (so that NaN, two boxes
/// without area, drops), and goes on with the next one left, until `limit` are kept (<= 0: no limit).
/// Args: `boxes` x1, y1, x2, y2 of candidate i at boxes + i * stride; `order` the candidates, best first.
/// Returns: how many are kept; they are moved to the front of `order`, in order.
std::int64_t greedy_nms(const float* boxes, std::int64_t stride, std::int32_t* order, std::int64_t count,
                        float threshold, bool plus_one, std::int64_t limit, float* scratch);
std::int64_t greedy_nms_rotated(const float* boxes, std::int64_t stride, std::int32_t* order, std::int64_t count,
                                float threshold, std::int64_t limit, float* scratch);

/// What happens to the score of a box with this IoU with a kept one.
struct SoftNms {
  bool gaussian = false;  ///< times exp(-IoU^2 / sigma); else, linear: times 1 - IoU where IoU > threshold
  float threshold = 0, sigma = 0;
  float least_score = 0;  ///< boxes that fall below are dropped

  SIMT_HOST_DEVICE float weight(float overlap) const {
    if (gaussian) return std::exp(-overlap * overlap / sigma);
    return overlap > threshold ? 1.0F - overlap : 1.0F;
  }
};

/// Keeps the candidate with the highest score (the first of equal ones), lowers the scores of the others, and
/// goes on with those left. `scores[i]` belongs to candidate `order[i]`, in any order.
/// Returns: how many are kept; they are moved to the front of `order`, with their lowered scores in `scores`.
std::int64_t soft_nms(const float* boxes, std::int64_t stride, std::int32_t* order, float* scores, std::int64_t count,
                      const SoftNms& rule, bool plus_one);
std::int64_t soft_nms_rotated(const float* boxes, std::int64_t stride, std::int32_t* order, float* scores,
                              std::int64_t count, const SoftNms& rule);

}  // namespace d2deploy
