#include "operators/pad_image/pad_image.h"

#include <algorithm>

#include "core/element_type.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

using Mode = PadImage::Mode;

template <class T>
struct Row {
  Mode mode;
  T value;
  std::int64_t before, width, after, cell;  // cell: elements that lie together at one place

  void pad(const T* x, std::int64_t begin, std::int64_t end, T* y) const {
    for (std::int64_t j = begin; j < end; ++j, y += cell) {
      const std::int64_t from = PadImage::source(mode, j, width);
      from == PadImage::kNone ? std::fill_n(y, cell, value) : std::copy_n(x + from * cell, cell, y);
    }
  }
  void copy(const T* x, T* y) const {
    pad(x, -before, 0, y);
    std::copy_n(x, width * cell, y + before * cell);
    pad(x, width, width + after, y + (before + width) * cell);
  }
};

template <class T>
void run_typed(const PadImage::Params& p, const Call& call) {
  const TensorType &in = call.input(0).type(), &out = call.output(0).type();
  if (out.shape.size() == 0) return;
  const Window w = PadImage::pads(p);
  const bool last = in.layout == Layout::channels_last;
  const std::int64_t planes = last ? in.shape[0] : in.shape[0] * in.shape[1], height = in.shape[2];
  const Row<T> row{PadImage::mode(p), T(p.value), w.pad_l, in.shape[3], w.pad_r, last ? in.shape[1] : 1};
  const T* x = call.in<T>(0);
  T* y = call.out<T>(0);
  const std::int64_t in_row = row.width * row.cell, out_row = out.shape[3] * row.cell, out_h = out.shape[2];
  parallel_for(planes * out_h, 1 + (1 << 15) / out_row, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t from = PadImage::source(row.mode, i % out_h - w.pad_t, height);
      if (from == PadImage::kNone)
        std::fill_n(y + i * out_row, out_row, row.value);
      else
        row.copy(x + (i / out_h * height + from) * in_row, y + i * out_row);
    }
  });
}

void run(const PadImage::Params& p, const Call& call) {
  with_real_type(call.input(0).dtype(), [&]<class T>(T) { run_typed<T>(p, call); });
}

}  // namespace

template <>
Kernels<PadImage> kernels<PadImage, Backend::cpu>() {
  return {{.name = "rows", .reject = accepts_all<PadImage>, .run = run, .takes = Takes::any_real}};
}

}  // namespace d2deploy
