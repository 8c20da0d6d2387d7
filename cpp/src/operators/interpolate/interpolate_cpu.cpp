#include "operators/interpolate/interpolate.h"

#include <algorithm>

#include "core/element_type.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

// One direction: output cells lie `step` input cells apart.
struct Side {
  std::int64_t size;
  float step;
  bool corners, nearest;

  Side(const Interpolate::Params& p, float scale, bool to_size, std::int64_t in, std::int64_t out)
      : size(in),
        step(static_cast<float>(1.0 / static_cast<double>(scale))),
        corners(p.align_corners),
        nearest(p.mode == "nearest") {
    if (corners)
      step = out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1) : 0.0F;
    else if (to_size)
      step = static_cast<float>(in) / static_cast<float>(out);
  }
};

// Between input cells `low` and `high`, with their weights.
struct Between {
  std::int64_t low, high;
  float low_weight, high_weight;

  Between(const Side& side, std::int64_t i) {
    const auto cell = static_cast<float>(i);
    const bool whole = side.corners || side.nearest;
    const float at = whole ? side.step * cell : std::max(side.step * (cell + 0.5F) - 0.5F, 0.0F);
    low = std::min(static_cast<std::int64_t>(at), side.size - 1);
    high = side.nearest ? low : std::min(low + 1, side.size - 1);
    high_weight = side.nearest ? 0.0F : std::min(at - static_cast<float>(low), 1.0F);
    low_weight = 1.0F - high_weight;
  }
};

// One output row from the two input rows around it; a cell is `cell` elements.
template <class T>
void blend(const Side& columns, std::int64_t out_w, std::int64_t cell, const Between& h, const T* top, const T* bottom,
           T* y) {
  const auto wide = [](T x) { return static_cast<float>(x); };
  for (std::int64_t j = 0; j < out_w; ++j, y += cell) {
    const Between w(columns, j);
    const T *t0 = top + w.low * cell, *t1 = top + w.high * cell;
    const T *b0 = bottom + w.low * cell, *b1 = bottom + w.high * cell;
    if (columns.nearest) {
      std::copy_n(t0, cell, y);
      continue;
    }
    for (std::int64_t c = 0; c < cell; ++c)
      y[c] = static_cast<T>(h.low_weight * (w.low_weight * wide(t0[c]) + w.high_weight * wide(t1[c])) +
                            h.high_weight * (w.low_weight * wide(b0[c]) + w.high_weight * wide(b1[c])));
  }
}

template <class T>
void run_typed(const Interpolate::Params& p, const Call& call) {
  const TensorType &in = call.input(0).type(), &out = call.output(0).type();
  if (out.shape.size() == 0) return;
  const bool last = in.layout == Layout::channels_last, to_size = call.has_input(1);
  const std::int64_t planes = last ? in.shape[0] : in.shape[0] * in.shape[1], cell = last ? in.shape[1] : 1;
  const std::int64_t out_h = out.shape[2], out_w = out.shape[3], in_row = in.shape[3] * cell, out_row = out_w * cell;
  const Side rows(p, p.height_scale, to_size, in.shape[2], out_h);
  const Side columns(p, p.width_scale, to_size, in.shape[3], out_w);
  const T* x = call.in<T>(0);
  T* y = call.out<T>(0);
  parallel_for(planes * out_h, 1 + (1 << 14) / out_row, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const Between h(rows, i % out_h);
      const T* plane = x + i / out_h * rows.size * in_row;
      blend(columns, out_w, cell, h, plane + h.low * in_row, plane + h.high * in_row, y + i * out_row);
    }
  });
}

void run(const Interpolate::Params& p, const Call& call) {
  with_real_type(call.input(0).dtype(), [&]<class T>(T) { run_typed<T>(p, call); });
}

}  // namespace

template <>
Kernels<Interpolate> kernels<Interpolate, Backend::cpu>() {
  return {{.name = "rows", .reject = accepts_all<Interpolate>, .run = run, .takes = Takes::any_real}};
}

}  // namespace d2deploy
