#pragma once
#include "operators/output_type.h"
#include "operators/window_fields.h"

namespace d2deploy {

struct ConvTransposeParams : WindowParams, OutputTypeParams {
  std::int64_t group = 1;
  Ints adjs;
  std::int64_t adj = 0, adj_h = 0, adj_w = 0;
  std::string dtype;
};

/// Geometry of a transposed convolution; `dilations` is ignored, as Caffe2 does.
struct TransposedWindow {
  std::int64_t kernel_h, kernel_w, stride_h, stride_w, pad_t, pad_l, pad_b, pad_r;
  std::int64_t adj_h, adj_w;  ///< rows and columns more at the bottom and right
  std::int64_t out_h, out_w;
};

/// The transpose of a convolution: every cell of X adds its filters, scaled, to Y at stride times its place.
struct ConvTranspose {
  using Params = ConvTransposeParams;
  static constexpr bool relu = false;
  static constexpr auto fields = joined(
      inherited<Params, WindowParams>(kWindowFields), inherited<Params, OutputTypeParams>(kOutputTypeFields),
      std::array{field<&Params::group>("group", Bound::positive, "groups that the channels fall into"),
                 field<&Params::adjs>("adjs", Bound::non_negative, "rows and columns more at the bottom and right"),
                 field<&Params::adj>("adj", Bound::non_negative, "both of adjs"),
                 field<&Params::adj_h>("adj_h", Bound::non_negative, "first of adjs"),
                 field<&Params::adj_w>("adj_w", Bound::non_negative, "second of adjs"),
                 sum_type_field<&Params::dtype>()});
  static constexpr Signature signature{
      "ConvTranspose",
      "X: real (N, C, H, W) | W: float32 (C, K, kh, kw) filters, K = output channels / group | b?: float32 (M)",
      "Y: real|float32 (N, M, H2, W2)", LayoutRule::any, heavy};

  static TransposedWindow window(const char* type, const Params& p, const Inputs& in);
  static Types infer(const char* type, const Params& p, const Inputs& in);
  static Types infer(const Params& p, const Inputs& in) { return infer("ConvTranspose", p, in); }
  static double flops(const Params&, const Inputs& in, const Types&) {
    return 2.0 * static_cast<double>(in[0].size()) * static_cast<double>(in[1].size(1, 4));
  }
};

}  // namespace d2deploy
