#include "operators/conv_transpose/conv_transpose.h"

namespace d2deploy {

namespace {

// Adds the two spellings of adjs: a list, one number for both, or one each.
void set_adjs(const char* type, const ConvTransposeParams& p, TransposedWindow& w) {
  check<Unsupported>(p.adjs.empty() || p.adjs.size() == 2, type, ": adjs has ", p.adjs.size(), " numbers, wanted 2");
  w.adj_h = p.adj_h != 0 ? p.adj_h : p.adj != 0 ? p.adj : p.adjs.empty() ? 0 : p.adjs[0];
  w.adj_w = p.adj_w != 0 ? p.adj_w : p.adj != 0 ? p.adj : p.adjs.empty() ? 0 : p.adjs[1];
  check<InvalidModel>(w.adj_h < w.stride_h && w.adj_w < w.stride_w, type, ": adjs must be smaller than strides, got ",
                      w.adj_h, ", ", w.adj_w, " with strides ", w.stride_h, ", ", w.stride_w);
}

// Length of the output along one dimension.
std::int64_t out_size(const char* type, std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t pads,
                      std::int64_t adj) {
  if (in == kUnknown) return kUnknown;
  std::int64_t out = 0;
  const bool overflow =
      __builtin_mul_overflow(in - 1, stride, &out) || __builtin_add_overflow(out, kernel + adj - pads, &out);
  check(in > 0 && !overflow && out > 0, type, ": an input of ", in, " gives no output with kernel ", kernel,
        ", stride ", stride, " and pads of ", pads, " together");
  return out;
}

}  // namespace

TransposedWindow ConvTranspose::window(const char* type, const Params& p, const Inputs& in) {
  check<InvalidModel>(!p.global_pooling && p.legacy_pad == 0, type, ": global_pooling and legacy_pad are for pools");
  const Window w = resolve(type, p);
  TransposedWindow t{w.kernel_h, w.kernel_w, w.stride_h, w.stride_w, w.pad_t,  w.pad_l,
                     w.pad_b,    w.pad_r,    0,          0,          kUnknown, kUnknown};
  set_adjs(type, p, t);
  t.out_h = out_size(type, in[0][2], t.kernel_h, t.stride_h, t.pad_t + t.pad_b, t.adj_h);
  t.out_w = out_size(type, in[0][3], t.kernel_w, t.stride_w, t.pad_l + t.pad_r, t.adj_w);
  const Shape& filters = in[1];
  check(filters[2] == t.kernel_h && filters[3] == t.kernel_w, type, ": W is ", filters, ", the kernel ", t.kernel_h,
        " x ", t.kernel_w);
  return t;
}

Types ConvTranspose::infer(const char* type, const Params& p, const Inputs& in) {
  const Shape &x = in[0], &w = in[1];
  check(w.known(), type, ": the shape of W must be known, it is ", w);
  const TransposedWindow at = window(type, p, in);
  check(w[0] % p.group == 0, type, ": the ", w[0], " input channels of W do not fall into ", p.group, " groups");
  const std::int64_t channels = Shape({w[1], p.group}).size();
  if (in.size() > 2)
    check(in[2][0] == channels || in[2][0] == kUnknown, type, ": b must be (", channels, "), got ", in[2]);
  return {output_type(type, p.dtype, p, in.types[0], {x[0], channels, at.out_h, at.out_w})};
}

}  // namespace d2deploy
