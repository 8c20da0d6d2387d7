// The window of MaxPool and AveragePool, and what their loops share.
#pragma once
#include <algorithm>

#include "operators/window_fields.h"

namespace d2deploy {

/// The window on the images X (N, C, H, W). `type` is the operator's. Padding is smaller than the window, as in Caffe2.
inline Window pool_window(const char* type, const WindowParams& p, const Shape& x) {
  const Window w = resolve(type, p, x[2], x[3]);
  check<Unsupported>(w.dilation_h == 1 && w.dilation_w == 1, type, ": dilations must be 1, got ", w.dilation_h, " and ",
                     w.dilation_w);
  const Window given = resolve(type, p);
  const bool small =
      given.pad_t < w.kernel_h && given.pad_b < w.kernel_h && given.pad_l < w.kernel_w && given.pad_r < w.kernel_w;
  check<InvalidModel>(p.global_pooling || small, type, ": pads must be smaller than kernels, got [", given.pad_t, ',',
                      given.pad_l, ',', given.pad_b, ',', given.pad_r, "] with kernels [", w.kernel_h, ',', w.kernel_w,
                      ']');
  return w;
}

struct CellRange {
  std::int64_t begin, end;  ///< nothing where end <= begin
};

/// The cells of window number i that lie in the image, along one axis.
constexpr CellRange window_cells(std::int64_t i, std::int64_t pad, std::int64_t stride, std::int64_t kernel,
                                 std::int64_t size) {
  const std::int64_t begin = i * stride - pad;
  return {std::max<std::int64_t>(0, begin), std::min(size, begin + kernel)};
}

/// How many items of a parallel loop make a part, where an item is so many rows of windows, or as many of one cell of
/// several channels. In floating point: a kernel may be far larger than its image.
inline std::int64_t pool_grain(const Window& w, const Shape& x, std::int64_t rows) {
  constexpr double kReads = 1 << 15;  // per part
  const auto row = static_cast<double>(w.out_w) * static_cast<double>(std::min(w.kernel_h, x[2])) *
                   static_cast<double>(std::min(w.kernel_w, x[3]));
  return 1 + static_cast<std::int64_t>(kReads / std::max(row * static_cast<double>(rows), 1.0));
}

}  // namespace d2deploy
