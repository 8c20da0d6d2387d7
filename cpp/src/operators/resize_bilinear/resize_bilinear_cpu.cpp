#include "operators/resize_bilinear/resize_bilinear.h"

#include <algorithm>

#include "core/element_type.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

// One direction: output cells lie `step` input cells apart.
struct Axis {
  std::int64_t size;
  float step;

  Axis(std::int64_t in, std::int64_t out)
      : size(in), step(out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1) : 0.0F) {}
};

// Between input cells `low` and `high`, with their weights.
struct Place {
  std::int64_t low, high;
  float low_weight, high_weight;

  Place(const Axis& axis, std::int64_t i) {
    const float at = axis.step * static_cast<float>(i);
    low = std::min(static_cast<std::int64_t>(at), axis.size - 1);
    high = std::min(low + 1, axis.size - 1);
    high_weight = at - static_cast<float>(low);
    low_weight = 1.0F - high_weight;
  }
};

// One output row from the two input rows around it; a cell is `cell` elements.
template <class T>
void blend_row(const Axis& columns, std::int64_t out_w, std::int64_t cell, const Place& h, const T* top,
               const T* bottom, T* y) {
  const auto wide = [](T x) { return static_cast<float>(x); };
  for (std::int64_t j = 0; j < out_w; ++j, y += cell) {
    const Place w(columns, j);
    const T *t0 = top + w.low * cell, *t1 = top + w.high * cell;
    const T *b0 = bottom + w.low * cell, *b1 = bottom + w.high * cell;
    for (std::int64_t c = 0; c < cell; ++c)
      y[c] = static_cast<T>(h.low_weight * (w.low_weight * wide(t0[c]) + w.high_weight * wide(t1[c])) +
                            h.high_weight * (w.low_weight * wide(b0[c]) + w.high_weight * wide(b1[c])));
  }
}

template <class T>
void run_typed(const ResizeBilinear::Params& p, const Call& call) {
  const TensorType &in = call.input(0).type(), &out = call.output(0).type();
  (void)call_scale("ResizeBilinear", p, call);
  if (out.shape.size() == 0) return;
  const bool last = in.layout == Layout::channels_last;
  const std::int64_t planes = last ? in.shape[0] : in.shape[0] * in.shape[1], cell = last ? in.shape[1] : 1;
  const std::int64_t out_h = out.shape[2], out_w = out.shape[3], in_row = in.shape[3] * cell, out_row = out_w * cell;
  const Axis rows(in.shape[2], out_h), columns(in.shape[3], out_w);
  const T* x = call.in<T>(0);
  T* y = call.out<T>(0);
  parallel_for(planes * out_h, 1 + (1 << 14) / out_row, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const Place h(rows, i % out_h);
      const T* plane = x + i / out_h * rows.size * in_row;
      blend_row(columns, out_w, cell, h, plane + h.low * in_row, plane + h.high * in_row, y + i * out_row);
    }
  });
}

void run(const ResizeBilinear::Params& p, const Call& call) {
  with_real_type(call.input(0).dtype(), [&]<class T>(T) { run_typed<T>(p, call); });
}

}  // namespace

template <>
Kernels<ResizeBilinear> kernels<ResizeBilinear, Backend::cpu>() {
  return {{.name = "rows", .reject = accepts_all<ResizeBilinear>, .run = run, .takes = Takes::any_real}};
}

}  // namespace d2deploy
