#pragma once
#include "operators/resize.h"

namespace d2deploy {

/// Y = X stretched so that the corner cells stay where they are, values between cells linear in both directions. Row h
/// of Y lies at h (H - 1) / (H2 - 1) of X, and 0 where Y has one row; columns alike. All in float32, as in Caffe2's
/// UpsampleBilinear. Where `scales` is given it replaces the arguments.
struct ResizeBilinear {
  using Params = ResizeParams;
  static constexpr auto fields = kResizeFields;
  static constexpr Signature signature{"ResizeBilinear", kResizeInputs, kResizeOutputs,
                                       LayoutRule::any,  keeps_range,   "UpsampleBilinear"};
  static Types infer(const Params& p, const Inputs& in) { return infer_resize("ResizeBilinear", p, in); }
};

}  // namespace d2deploy
