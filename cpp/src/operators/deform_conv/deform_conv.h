#pragma once
#include "operators/window_fields.h"

namespace d2deploy {

struct DeformConvParams : WindowParams {
  std::int64_t group = 1;
  std::int64_t deformable_group = 1;
  bool zero_border = false;
};

/// A convolution whose window is deformed at each of its places. Through its cell k = i kw + j, the channels of
/// deformable group d are seen at
///   y stride_h - pad_t + i dilation_h + offset[2 q], x stride_w - pad_l + j dilation_w + offset[2 q + 1]
/// with q = d kh kw + k, interpolated between the cells of X; and times mask[q] where there is a mask: then it is
/// version 2, "modulated". Offset and mask are those at the output's cell (y, x).
/// In Caffe2, which has it for GPUs alone, a place in [0, H) x [0, W) counts, beyond the last cell's centre with that
/// cell's number; others are 0. With zero_border, as in Detectron2 and PyTorch, X is surrounded by zeros, towards which
/// it is interpolated.
/// mask and zero_border are extensions, and the original Caffe2 exports no Detectron2 model with this operator.
struct DeformConv {
  using Params = DeformConvParams;
  static constexpr bool relu = false;
  static constexpr auto fields = joined(
      inherited<Params, WindowParams>(kWindowFields),
      std::array{
          field<&Params::group>("group", Bound::positive, "groups that the channels fall into"),
          field<&Params::deformable_group>("deformable_group", Bound::positive,
                                           "groups of channels of X, each with offsets of its own"),
          field<&Params::zero_border>("zero_border", Bound::any, "1: X is interpolated towards zeros around it")});
  static constexpr Signature signature{
      "DeformConv",
      "X: real (N, C, H, W) | offset: float32 (N, D, H2, W2) dy, dx; D = 2 deformable_group "
      "kh kw | W: float32 (M, K, kh, kw) filters, K = C / group | b?: float32 (M) | "
      "mask?: float32 (N, E, H2, W2) E = deformable_group kh kw",
      "Y: real (N, M, H2, W2)", LayoutRule::any, heavy};

  static Window window(const char* type, const Params& p, const Inputs& in) {
    const Shape &x = in[0], &w = in[2];
    check<InvalidModel>(!p.global_pooling, type, ": global_pooling is for pools");
    const Window window = resolve(type, p, x[2], x[3]);
    check(w[2] == window.kernel_h && w[3] == window.kernel_w, type, ": W is ", w, ", the kernel ", window.kernel_h,
          " x ", window.kernel_w);
    return window;
  }

  static void check_places(const char* type, const char* name, const Shape& found, const Shape& wanted) {
    for (std::size_t i = 0; i < 4; ++i)
      check(found[i] == wanted[i] || found[i] == kUnknown || wanted[i] == kUnknown, type, ": ", name, " is ", found,
            ", wanted ", wanted, ": one for each cell of Y, and of the window in each deformable group");
  }

  static Types infer(const char* type, const Params& p, const Inputs& in) {
    const Shape &x = in[0], &w = in[2];
    check(w.known(), type, ": the shape of W must be known, it is ", w);
    const Window at = window(type, p, in);
    check(w[0] % p.group == 0, type, ": the ", w[0], " filters do not fall into ", p.group, " groups");
    check(x[1] == kUnknown || x[1] == w[1] * p.group, type, ": X has ", x[1], " channels, W takes ", w[1],
          " in each of ", p.group, " groups");
    check(w[1] * p.group % p.deformable_group == 0, type, ": the ", w[1] * p.group, " channels do not fall into ",
          p.deformable_group, " deformable groups");
    const std::int64_t cells = p.deformable_group * w[2] * w[3];
    check_places(type, "offset", in[1], {x[0], 2 * cells, at.out_h, at.out_w});
    if (in.size() > 4) check_places(type, "mask", in[4], {x[0], cells, at.out_h, at.out_w});
    return {f32({x[0], w[0], at.out_h, at.out_w})};
  }
  static Types infer(const Params& p, const Inputs& in) { return infer("DeformConv", p, in); }

  /// The products, and four of them for each number that is interpolated.
  static double flops(const Params&, const Inputs& in, const Types& out) {
    const Shape &y = out[0].shape, &w = in[2];
    const double cells = static_cast<double>(w[2] * w[3]), places = static_cast<double>(y[0] * y[2] * y[3]) * cells;
    return 2.0 * places * static_cast<double>(w[0] * w[1]) + 8.0 * places * static_cast<double>(in[0][1]);
  }
};

}  // namespace d2deploy
