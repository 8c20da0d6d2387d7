#pragma once
#include "operators/output_type.h"
#include "operators/window_fields.h"

namespace d2deploy {

/// The arguments of Conv and of what is fused with it.
struct ConvParams : WindowParams, OutputTypeParams {
  std::int64_t group = 1;
  std::string dtype;
};

/// What a fused operator does behind the sum of the convolution.
struct ConvTail {
  bool add = false;   ///< adds its input A
  bool relu = false;  ///< after that
};

inline constexpr int kConvAddend = 3;  ///< which input is added, where one is

/// What is added to a convolution must have exactly its shape: no broadcasting. Against an unknown dimension a 1 would
/// most likely be spread.
inline void check_addend(const char* type, const Shape& addend, const Shape& sum) {
  for (std::size_t i = 0; i < 4; ++i) {
    const bool may_fit = (addend[i] == kUnknown && sum[i] != 1) || (sum[i] == kUnknown && addend[i] != 1);
    check(addend[i] == sum[i] || may_fit, type, ": A is ", addend, ", the sum ", sum);
  }
}

/// Cross-correlation of images with a bank of filters: Y[n, m] = b[m] + sum over c of X[n, c] * W[m, c], where output
/// channel m sees the input channels of its group only. The images are padded with zeros.
struct Conv {
  using Params = ConvParams;
  static constexpr ConvTail tail{};
  static constexpr auto fields =
      joined(inherited<Params, WindowParams>(kWindowFields), inherited<Params, OutputTypeParams>(kOutputTypeFields),
             std::array{field<&Params::group>("group", Bound::positive, "groups that the channels fall into"),
                        sum_type_field<&Params::dtype>()});
  static constexpr Signature signature{
      "Conv", "X: real (N, C, H, W) | W: float32 (M, K, kh, kw) filters, K = C / group | b?: float32 (M)",
      "Y: real|float32 (N, M, H2, W2)", LayoutRule::any, heavy};

  static Window window(const char* type, const Params& p, const Inputs& in) {
    const Shape &x = in[0], &w = in[1];
    check<InvalidModel>(!p.global_pooling, type, ": global_pooling is for pools");
    const Window window = resolve(type, p, x[2], x[3]);
    check(w[2] == window.kernel_h && w[3] == window.kernel_w, type, ": W is ", w, ", the kernel ", window.kernel_h,
          " x ", window.kernel_w);
    return window;
  }

  static Types infer(const char* type, const Params& p, const Inputs& in) {
    const Shape &x = in[0], &w = in[1];
    check(w.known(), type, ": the shape of W must be known, it is ", w);
    const Window at = window(type, p, in);
    check(w[0] % p.group == 0, type, ": the ", w[0], " filters do not fall into ", p.group, " groups");
    check(x[1] == kUnknown || x[1] == w[1] * p.group, type, ": X has ", x[1], " channels, W takes ", w[1],
          " in each of ", p.group, " groups");
    return {output_type(type, p.dtype, p, in.types[0], {x[0], w[0], at.out_h, at.out_w})};
  }
  static Types infer(const Params& p, const Inputs& in) { return infer("Conv", p, in); }

  static double flops(const Params&, const Inputs& in, const Types& out) {
    return 2.0 * static_cast<double>(out[0].shape.size()) * static_cast<double>(in[1].size(1, 4));
  }
};

}  // namespace d2deploy
