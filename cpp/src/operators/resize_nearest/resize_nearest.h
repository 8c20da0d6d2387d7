#pragma once
#include <cmath>

#include "operators/operator.h"

namespace d2deploy {

/// Y[h, w] = X[trunc(h / height_scale), trunc(w / width_scale)], never past the last row and column.
/// All in float32, as in Caffe2. Where `scales` is given it replaces the arguments.
struct ResizeNearest {
  struct Params {
    float width_scale = 1;
    float height_scale = 1;
    std::string order = "NCHW";
  };
  static constexpr auto fields =
      std::tuple{field("width_scale", &Params::width_scale, Bound::positive, "width of Y / width of X"),
                 field("height_scale", &Params::height_scale, Bound::positive, "height of Y / height of X"),
                 field("order", &Params::order, Bound::any, "order of the dimensions: NCHW")};
  static constexpr Signature signature{"ResizeNearest", "X: float32 (N, C, H, W) | scales?: float32 (2) height, width",
                                       "Y: float32 (N, C, H2, W2)", spatial};

  struct Scale {
    float h, w;
  };
  /// `scales` is the second input's value, or null.
  static Scale scale(const Params& p, const Tensor* scales) {
    Scale s{p.height_scale, p.width_scale};
    if (scales != nullptr) s = {scales->data<float>()[0], scales->data<float>()[1]};
    check(std::isfinite(s.h) && std::isfinite(s.w) && s.h > 0 && s.w > 0, "ResizeNearest: the scales are ", s.h,
          " and ", s.w, ", must be positive and finite");
    return s;
  }
  static std::int64_t resized(std::int64_t size, float scale) {
    if (size == kUnknown) return kUnknown;
    const float out = static_cast<float>(size) * scale;
    check(out < 0x1p+31F, "ResizeNearest: ", size, " times ", scale, " is above 2^31");
    return static_cast<std::int64_t>(out);
  }

  static Types infer(const Params& p, const Inputs& in) {
    check<Unsupported>(p.order == "NCHW", "ResizeNearest: order '", p.order, "' is not available, wanted NCHW");
    const Shape& x = in[0];
    if (in.size() > 1 && in.value(1) == nullptr) return {f32({x[0], x[1], kUnknown, kUnknown})};
    const Scale s = scale(p, in.size() > 1 ? in.value(1) : nullptr);
    return {f32({x[0], x[1], resized(x[2], s.h), resized(x[3], s.w)})};
  }
};

}  // namespace d2deploy
