// What ResizeNearest and ResizeBilinear share: arguments, and the size of the output.
#pragma once
#include <cmath>
#include <tuple>

#include "operators/operator.h"

namespace d2deploy {

struct ResizeParams {
  float width_scale = 1;
  float height_scale = 1;
  std::string order = "NCHW";
};
inline constexpr auto kResizeFields =
    std::array{field<&ResizeParams::width_scale>("width_scale", Bound::positive, "width of Y / width of X"),
               field<&ResizeParams::height_scale>("height_scale", Bound::positive, "height of Y / height of X"),
               field<&ResizeParams::order>("order", Bound::any, "order of the dimensions: NCHW")};
inline constexpr const char* kResizeInputs = "X: real (N, C, H, W) | scales?: float32 (2) height, width";
inline constexpr const char* kResizeOutputs = "Y: real (N, C, H2, W2)";

struct ResizeScale {
  float h, w;

  /// `scales` is the second input's value, which replaces the arguments, or null. `type` is the operator's.
  static ResizeScale of(const char* type, const ResizeParams& p, const Tensor* scales) {
    ResizeScale s{p.height_scale, p.width_scale};
    if (scales != nullptr) s = {scales->data<float>()[0], scales->data<float>()[1]};
    check(std::isfinite(s.h) && std::isfinite(s.w) && s.h > 0 && s.w > 0, type, ": the scales are ", s.h, " and ", s.w,
          ", must be positive and finite");
    return s;
  }
};

/// trunc(size scale) in float32, as in Caffe2.
inline std::int64_t resized(const char* type, std::int64_t size, float scale) {
  if (size == kUnknown) return kUnknown;
  const float out = static_cast<float>(size) * scale;
  check(size <= INT32_MAX && out < 0x1p+31F, type, ": ", size, " times ", scale, " is above 2^31");
  return static_cast<std::int64_t>(out);
}

inline Types infer_resize(const char* type, const ResizeParams& p, const Inputs& in) {
  check<Unsupported>(p.order == "NCHW", type, ": order '", p.order, "' is not available, wanted NCHW");
  const Shape& x = in[0];
  if (in.size() > 1 && in.value(1) == nullptr) return {f32({x[0], x[1], kUnknown, kUnknown})};
  const auto s = ResizeScale::of(type, p, in.size() > 1 ? in.value(1) : nullptr);
  return {f32({x[0], x[1], resized(type, x[2], s.h), resized(type, x[3], s.w)})};
}

/// The scales of a call, whose output must have the size that they make.
inline ResizeScale call_scale(const char* type, const ResizeParams& p, const Call& call) {
  const Shape &x = call.input(0).shape(), &y = call.output(0).shape();
  const auto s = ResizeScale::of(type, p, call.has_input(1) ? &call.input(1) : nullptr);
  check<InternalError>(y[2] == resized(type, x[2], s.h) && y[3] == resized(type, x[3], s.w), type, ": planned for ", y,
                       ", but the scales are ", s.h, " and ", s.w);
  return s;
}

}  // namespace d2deploy
