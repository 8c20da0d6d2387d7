#include "operators/average_pool/average_pool.h"

#include <algorithm>

#include "core/element_type.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

constexpr std::int64_t kTile = 64;  // channels that are summed side by side

std::int64_t count(CellRange cells) { return std::max<std::int64_t>(cells.end - cells.begin, 0); }

// Sums are kept in float64: global pooling adds up whole maps.
template <class T>
struct Pool {
  Window w;
  bool include_pad;
  std::int64_t channels, height, width;

  CellRange rows(std::int64_t oh) const { return window_cells(oh, w.pad_t, w.stride_h, w.kernel_h, height); }
  CellRange columns(std::int64_t ow) const { return window_cells(ow, w.pad_l, w.stride_w, w.kernel_w, width); }

  // Deliberately 0 for a window in the padding alone (legacy_pad=3 makes such), where Caffe2's answer is undefined.
  double factor(CellRange h, CellRange v) const {
    const std::int64_t size = include_pad ? w.kernel_h * w.kernel_w : count(h) * count(v);
    return size == 0 ? 0.0 : 1.0 / static_cast<double>(size);
  }

  static double wide(T x) { return static_cast<double>(static_cast<float>(x)); }
  static T narrow(double x) { return static_cast<T>(static_cast<float>(x)); }

  void plane(const T* x, T* y) const {
    for (std::int64_t oh = 0; oh < w.out_h; ++oh) {
      const CellRange h = rows(oh);
      for (std::int64_t ow = 0; ow < w.out_w; ++ow) {
        const CellRange v = columns(ow);
        double sum = 0;
        for (std::int64_t i = h.begin; i < h.end; ++i)
          for (std::int64_t j = v.begin; j < v.end; ++j) sum += wide(x[i * width + j]);
        *y++ = narrow(sum * factor(h, v));
      }
    }
  }

  // One row of windows, for n channels that lie together; x and y start at the first of them.
  void row(const T* x, std::int64_t oh, std::int64_t n, T* y) const {
    const CellRange h = rows(oh);
    for (std::int64_t ow = 0; ow < w.out_w; ++ow, y += channels) {
      const CellRange v = columns(ow);
      double sum[kTile] = {};
      for (std::int64_t i = h.begin; i < h.end; ++i)
        for (std::int64_t j = v.begin; j < v.end; ++j) {
          const T* cell = x + (i * width + j) * channels;
          for (std::int64_t c = 0; c < n; ++c) sum[c] += wide(cell[c]);
        }
      const double scale = factor(h, v);
      for (std::int64_t c = 0; c < n; ++c) y[c] = narrow(sum[c] * scale);
    }
  }
};

template <class T>
void run_typed(const AveragePool::Params& p, const Call& call) {
  const TensorType& in = call.input(0).type();
  if (call.output(0).size() == 0) return;
  const std::int64_t images = in.shape[0], channels = in.shape[1], height = in.shape[2], width = in.shape[3];
  const Window w = pool_window("AveragePool", p, in.shape);
  const Pool<T> pool{w, p.count_include_pad, channels, height, width};
  const T* x = call.in<T>(0);
  T* y = call.out<T>(0);
  if (in.layout == Layout::row_major) {
    parallel_for(images * channels, pool_grain(w, in.shape, w.out_h), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) pool.plane(x + i * height * width, y + i * w.out_h * w.out_w);
    });
    return;
  }
  const std::int64_t tiles = (channels + kTile - 1) / kTile;
  parallel_for(images * w.out_h * tiles, pool_grain(w, in.shape, kTile), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = i % tiles * kTile, row = i / tiles;
      pool.row(x + row / w.out_h * height * width * channels + first, row % w.out_h, std::min(kTile, channels - first),
               y + row * w.out_w * channels + first);
    }
  });
}

void run(const AveragePool::Params& p, const Call& call) {
  with_real_type(call.input(0).dtype(), [&]<class T>(T) { run_typed<T>(p, call); });
}

}  // namespace

template <>
Kernels<AveragePool> kernels<AveragePool, Backend::cpu>() {
  return {{.name = "loop", .reject = accepts_all<AveragePool>, .run = run, .takes = Takes::any_real}};
}

}  // namespace d2deploy
