#include <algorithm>
#include <limits>

#include "core/threads.h"
#include "operators/max_pool/max_pool.h"

namespace d2deploy {

namespace {

// Windows that lie in the padding alone (legacy_pad=3 makes such) give this, as in Caffe2.
constexpr float kLowest = std::numeric_limits<float>::lowest();

struct WindowRange {
  std::int64_t begin, end;
};

// The windows, of `count`, whose cell number k lies in the image: 0 <= window * stride - pad + k < size.
WindowRange inside(std::int64_t k, std::int64_t pad, std::int64_t stride, std::int64_t size, std::int64_t count) {
  const std::int64_t first = pad - k, last = size - 1 + pad - k;
  if (last < 0) return {0, 0};
  return {std::min(count, first <= 0 ? 0 : (first + stride - 1) / stride), std::min(count, last / stride + 1)};
}

// One row of windows, window by window, all channels of a cell side by side.
void pool_row(const Window& w, const float* x, std::int64_t channels, std::int64_t width, CellRange rows, float* y) {
  for (std::int64_t ow = 0; ow < w.out_w; ++ow, y += channels) {
    std::fill_n(y, channels, kLowest);
    const CellRange columns = window_cells(ow, w.pad_l, w.stride_w, w.kernel_w, width);
    for (std::int64_t h = rows.begin; h < rows.end; ++h)
      for (std::int64_t k = columns.begin; k < columns.end; ++k) {
        const float* cell = x + (h * width + k) * channels;
        for (std::int64_t c = 0; c < channels; ++c) y[c] = cell[c] > y[c] ? cell[c] : y[c];
      }
  }
}

// All windows of a row side by side, cell by cell of the window.
void pool_plane(const Window& w, const float* x, std::int64_t height, std::int64_t width, float* y) {
  for (std::int64_t oh = 0; oh < w.out_h; ++oh, y += w.out_w) {
    const CellRange rows = window_cells(oh, w.pad_t, w.stride_h, w.kernel_h, height);
    if (w.kernel_w > width) {  // most cells of a window may lie outside
      pool_row(w, x, 1, width, rows, y);
      continue;
    }
    std::fill_n(y, w.out_w, kLowest);
    for (std::int64_t h = rows.begin; h < rows.end; ++h)
      for (std::int64_t k = 0; k < w.kernel_w; ++k) {
        const WindowRange windows = inside(k, w.pad_l, w.stride_w, width, w.out_w);
        const float* row = x + h * width + k - w.pad_l;
        for (std::int64_t ow = windows.begin; ow < windows.end; ++ow) {
          const float v = row[ow * w.stride_w];
          y[ow] = v > y[ow] ? v : y[ow];
        }
      }
  }
}

void run(const WindowParams& p, const Call& call) {
  const TensorType& in = call.input(0).type();
  const std::int64_t batch = in.shape[0], channels = in.shape[1], height = in.shape[2], width = in.shape[3];
  if (call.output(0).size() == 0) return;
  const Window w = MaxPool::window(p, in.shape);
  const float* x = call.in<float>(0);
  float* y = call.out<float>(0);
  if (in.layout == Layout::row_major) {
    parallel_for(batch * channels, pool_grain(w, in.shape, w.out_h), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        pool_plane(w, x + i * height * width, height, width, y + i * w.out_h * w.out_w);
    });
    return;
  }
  parallel_for(batch * w.out_h, pool_grain(w, in.shape, channels), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const CellRange rows = window_cells(i % w.out_h, w.pad_t, w.stride_h, w.kernel_h, height);
      pool_row(w, x + i / w.out_h * height * width * channels, channels, width, rows, y + i * w.out_w * channels);
    }
  });
}

}  // namespace

template <>
Kernels<MaxPool> kernels<MaxPool, Backend::cpu>() {
  return {{"loop_f32", accepts_all<MaxPool>, run}};
}

}  // namespace d2deploy
