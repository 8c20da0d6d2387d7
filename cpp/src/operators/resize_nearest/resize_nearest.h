#pragma once
#include "operators/resize.h"

namespace d2deploy {

/// Y[h, w] = X[trunc(h / height_scale), trunc(w / width_scale)], never past the last row and column.
/// All in float32, as in Caffe2. Where `scales` is given it replaces the arguments.
struct ResizeNearest {
  using Params = ResizeParams;
  static constexpr auto fields = kResizeFields;
  static constexpr Signature signature{"ResizeNearest", kResizeInputs, kResizeOutputs, LayoutRule::any, keeps_range};
  static Types infer(const Params& p, const Inputs& in) { return infer_resize("ResizeNearest", p, in); }
};

}  // namespace d2deploy
