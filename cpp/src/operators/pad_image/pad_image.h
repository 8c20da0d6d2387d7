#pragma once
#include "kernels/simt/host_device.h"
#include "operators/most_rows.h"
#include "operators/window_fields.h"

namespace d2deploy {

/// Y = X with rows and columns added around it: `value`, a mirror image without the edge itself, or the edge repeated.
/// A kernel's size has no effect, as in Caffe2.
struct PadImage {
  struct Params : WindowParams {
    std::string mode = "constant";
    float value = 0;
  };
  static constexpr auto fields =
      joined(inherited<Params, WindowParams>(kWindowFields),
             std::array{field<&Params::mode>("mode", Bound::any, "what is added: constant, reflect or edge"),
                        field<&Params::value>("value", Bound::any, "what is added with mode constant")});
  static constexpr Signature signature{"PadImage", "X: real (N, C, H, W)", "Y: real (N, C, H2, W2)", LayoutRule::any};

  enum class Mode { constant, reflect, edge };
  static Mode mode(const Params& p) {
    if (p.mode == "reflect") return Mode::reflect;
    if (p.mode == "edge") return Mode::edge;
    check<InvalidModel>(p.mode == "constant", "PadImage: mode is '", p.mode, "', must be constant, reflect or edge");
    return Mode::constant;
  }

  static constexpr std::int64_t kNone = -1;
  /// The input cell that stands at place i, counted from the first input cell; kNone where the value stands.
  SIMT_HOST_DEVICE static std::int64_t source(Mode mode, std::int64_t i, std::int64_t size) {
    if (i >= 0 && i < size) return i;
    switch (mode) {
      case Mode::constant: return kNone;
      case Mode::reflect: return i < 0 ? -i : 2 * size - i - 2;
      case Mode::edge: return i < 0 ? 0 : size - 1;
    }
    return kNone;
  }

  /// Only the pads of the window are of use.
  static Window pads(const Params& p) {
    const Window w = resolve_without_kernel("PadImage", p);
    const bool plain = w.stride_h == 1 && w.stride_w == 1 && w.dilation_h == 1 && w.dilation_w == 1 &&
                       p.legacy_pad == 0 && !p.global_pooling;
    check<Unsupported>(plain, "PadImage: strides and dilations must be 1, legacy_pad and global_pooling 0");
    return w;
  }

  static Types infer(const Params& p, const Inputs& in) {
    const Shape& x = in[0];
    const Window w = pads(p);
    return {f32({x[0], x[1], padded(mode(p), "height", x[2], w.pad_t, w.pad_b),
                 padded(mode(p), "width", x[3], w.pad_l, w.pad_r)})};
  }

 private:
  static std::int64_t padded(Mode mode, const char* side, std::int64_t size, std::int64_t before, std::int64_t after) {
    if (size == kUnknown) return kUnknown;
    const std::int64_t most = std::max(before, after);
    check(mode != Mode::reflect || most == 0 || most < size, "PadImage: reflect wants pads below the ", side, ", got ",
          before, " and ", after, " with ", size);
    check(mode != Mode::edge || most == 0 || size > 0, "PadImage: the ", side, " is 0, there is no edge to repeat");
    return plus(size, before + after);
  }
};

}  // namespace d2deploy
