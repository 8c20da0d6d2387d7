#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Where the keypoints of each box are: the highest cell of each heat map, refined by the quadratic through its
/// neighbours, in image pixels. A map is stretched over its box, which counts as at least one pixel wide and high.
/// The probability is that of the cell in the softmax over its map. Deliberately different from Caffe2, which divides
/// infinity by itself for logits above 88: the largest logit is subtracted first, so that it is always a number.
/// NaN is never the highest; in a map of nothing else the first cell is taken, and its probability is NaN.
struct HeatmapMaxKeypoint {
  struct Params {
    bool should_output_softmax = false;
  };
  static constexpr auto fields = std::array{
      field<&Params::should_output_softmax>("should_output_softmax", Bound::any, "give probabilities; 0: zeros"),
  };
  static constexpr Signature signature{
      "HeatmapMaxKeypoint",
      "maps: float32 (R, K, S, S) logits of each keypoint | boxes: float32 (R, B) x1, y1, x2, y2, ... in image pixels",
      "keypoints: float32 (R, 4, K) rows x, y, score, probability", LayoutRule::any};

  static Types infer(const Params&, const Inputs& in) {
    check(in[0][2] == kUnknown || in[0][2] >= 2, signature.type, ": maps must have at least 2 x 2 cells, got ", in[0]);
    check(in[1][1] == kUnknown || in[1][1] >= 4, signature.type, ": boxes must have at least 4 columns, got ", in[1]);
    return {f32({in[0][0], 4, in[0][1]})};
  }
};

}  // namespace d2deploy
