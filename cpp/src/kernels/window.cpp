#include "kernels/window.h"

#include <cmath>

#include "core/check.h"

namespace d2deploy {

namespace {

enum LegacyPad : std::int64_t { kNotSet = 0, kValid = 1, kSame = 2, kCaffe = 3 };

// Two numbers from `list`, or from `both`, or from `first` and `second`; the later spelling wins.
struct Pair {
  std::int64_t h, w;
};
Pair pair(const char* type, const char* name, const Ints& list, std::int64_t both, std::int64_t h, std::int64_t w,
          std::int64_t absent) {
  if (both != 0) return {both, both};
  if (h != 0 || w != 0) {
    check<InvalidModel>(h != 0 && w != 0, type, ": ", name, "_h is ", h, " and ", name, "_w is ", w,
                        ", both must be given and positive");
    return {h, w};
  }
  if (list.empty()) return {absent, absent};
  check<Unsupported>(list.size() == 2, type, ": ", name, "s has ", list.size(), " numbers, wanted 2 (height, width)");
  return {list[0], list[1]};
}

void set_pads(const char* type, const WindowParams& p, Window& w) {
  check<InvalidModel>(p.legacy_pad >= kNotSet && p.legacy_pad <= kCaffe, type, ": legacy_pad is ", p.legacy_pad,
                      ", must be from 0 to 3");
  if (p.pad != 0) {
    w.pad_t = w.pad_l = w.pad_b = w.pad_r = p.pad;
  } else if (p.pad_t != 0 || p.pad_l != 0 || p.pad_b != 0 || p.pad_r != 0) {
    w.pad_t = p.pad_t, w.pad_l = p.pad_l, w.pad_b = p.pad_b, w.pad_r = p.pad_r;
  } else if (!p.pads.empty()) {
    check<Unsupported>(p.pads.size() == 4, type, ": pads has ", p.pads.size(),
                       " numbers, wanted 4 (top, left, bottom, right)");
    w.pad_t = p.pads[0], w.pad_l = p.pads[1], w.pad_b = p.pads[2], w.pad_r = p.pads[3];
  }
  const bool padded = w.pad_t != 0 || w.pad_l != 0 || w.pad_b != 0 || w.pad_r != 0;
  check<InvalidModel>(!padded || (p.legacy_pad != kValid && p.legacy_pad != kSame), type, ": legacy_pad=", p.legacy_pad,
                      " sets the pads itself, leave them out");
}

// One direction of a window on an image.
struct Side {
  const char* name;
  std::int64_t size, kernel, stride, dilation;
  std::int64_t &head, &tail, &out;
};

void place_same(const char* type, Side& s) {
  check<InvalidModel>(s.dilation == 1, type, ": legacy_pad=2 goes with dilation 1, got ", s.dilation);
  s.out = (s.size + s.stride - 1) / s.stride;
  const std::int64_t pad = (s.out - 1) * s.stride + s.kernel - s.size;
  s.head = pad / 2;
  s.tail = pad - s.head;
}

// Caffe's pooling: the last window may reach over the edge, but starts inside where there is padding.
void place_caffe(Side& s, std::int64_t room) {
  const std::int64_t standard = room / s.stride + 1;
  s.out = (room + s.stride - 1) / s.stride + 1;
  if (s.head > 0 && (s.out - 1) * s.stride >= s.size + s.head) --s.out;
  s.tail = s.head + s.stride * (s.out - standard);
}

void place(const char* type, std::int64_t legacy_pad, Side s) {
  constexpr std::int64_t kMostCells = INT32_MAX;  // keeps all that follows within 64 bits
  check(s.size <= kMostCells, type, ": ", s.name, " ", s.size, " is above 2^31");
  if (legacy_pad == kSame) return place_same(type, s);
  if (legacy_pad == kCaffe) s.tail = s.head;
  const std::int64_t length = s.dilation * (s.kernel - 1) + 1, room = s.size + s.head + s.tail - length;
  check(room >= 0, type, ": the window is ", length, " long (kernel ", s.kernel, ", dilation ", s.dilation, "), the ",
        s.name, " only ", s.size, " with pads ", s.head, " and ", s.tail);
  if (legacy_pad == kCaffe) return place_caffe(s, room);
  s.out = room / s.stride + 1;
}

}  // namespace

Window resolve_without_kernel(const char* type, const WindowParams& p) {
  check<Unsupported>(p.order == "NCHW", type, ": order '", p.order, "' is not available, wanted NCHW");
  Window w;
  const Pair stride = pair(type, "stride", p.strides, p.stride, p.stride_h, p.stride_w, 1);
  const Pair dilation = pair(type, "dilation", p.dilations, p.dilation, p.dilation_h, p.dilation_w, 1);
  w.stride_h = stride.h, w.stride_w = stride.w;
  w.dilation_h = dilation.h, w.dilation_w = dilation.w;
  set_pads(type, p, w);
  if (p.global_pooling) {
    const bool plain = stride.h == 1 && stride.w == 1 && dilation.h == 1 && dilation.w == 1 && w.pad_t == 0 &&
                       w.pad_l == 0 && w.pad_b == 0 && w.pad_r == 0;
    check<InvalidModel>(plain, type, ": global_pooling goes with no strides, pads or dilations");
  }
  check<InvalidModel>(stride.h > 0 && stride.w > 0 && dilation.h > 0 && dilation.w > 0, type,
                      ": strides and dilations must be positive");
  return w;
}

Window resolve(const char* type, const WindowParams& p) {
  Window w = resolve_without_kernel(type, p);
  const Pair kernel = pair(type, "kernel", p.kernels, p.kernel, p.kernel_h, p.kernel_w, 0);
  w.kernel_h = kernel.h, w.kernel_w = kernel.w;
  check<InvalidModel>(p.global_pooling || (w.kernel_h > 0 && w.kernel_w > 0), type,
                      ": the kernel's size is not given, wanted kernels=[h,w]");
  return w;
}

Window resolve(const char* type, const WindowParams& p, std::int64_t height, std::int64_t width) {
  Window w = resolve(type, p);
  if (p.global_pooling) {
    // An image without a cell has no window, as any other that is shorter than its window.
    check(height != 0 && width != 0, type, ": global_pooling wants at least one cell, got ", height, " x ", width);
    w.kernel_h = height, w.kernel_w = width;
    w.out_h = w.out_w = 1;
    return w;
  }
  if (height != kUnknown)
    place(type, p.legacy_pad, {"height", height, w.kernel_h, w.stride_h, w.dilation_h, w.pad_t, w.pad_b, w.out_h});
  if (width != kUnknown)
    place(type, p.legacy_pad, {"width", width, w.kernel_w, w.stride_w, w.dilation_w, w.pad_l, w.pad_r, w.out_w});
  return w;
}

}  // namespace d2deploy
