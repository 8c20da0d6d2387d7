#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Puts the image index before each box: the first batch_splits[0] boxes are of image 0, and so on.
/// Internal: made by a pass for nets with several images, never written to a file.
struct BatchBoxes {
  using Params = NoParams;
  static constexpr Signature signature{
      "BatchBoxes", "boxes: float32 (R, 4) x1, y1, x2, y2 | batch_splits: float32 (N) boxes per image",
      "rois: float32 (R, 5) image, x1, y1, x2, y2"};
  static Types infer(const Params&, const Inputs& in) { return {f32({in[0][0], 5})}; }
};

}  // namespace d2deploy
