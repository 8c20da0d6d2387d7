#include "operators/resize_nearest/resize_nearest.h"

#include <algorithm>
#include <cstring>

#include "core/element_type.h"
#include "core/threads.h"
#include "operators/planned_scratch.h"

namespace d2deploy {

namespace {

std::int64_t source(std::int64_t i, float scale, std::int64_t size) {
  return std::min(static_cast<std::int64_t>(static_cast<float>(i) / scale), size - 1);
}

struct Sizes {
  std::int64_t h, w, out_h, out_w, cell;  // cell: elements that lie together at one place
  const std::int32_t* columns;            // source column of each output column
  bool doubles = false;                   // every column stands twice
};

template <class T>
void copy_cell(const T* x, std::int64_t n, T* y) {
  std::memcpy(y, x, static_cast<std::size_t>(n) * sizeof *x);
}

template <class T>
void resize_row(const Sizes& s, const T* x, T* y) {
  if (s.cell == 1 && s.doubles) {
    for (std::int64_t i = 0; i < s.w; ++i) y[2 * i] = y[2 * i + 1] = x[i];
  } else if (s.cell == 1) {
    for (std::int64_t i = 0; i < s.out_w; ++i) y[i] = x[s.columns[i]];
  } else if (s.doubles) {
    for (std::int64_t i = 0; i < s.w; ++i, x += s.cell, y += 2 * s.cell) {
      copy_cell(x, s.cell, y);
      copy_cell(x, s.cell, y + s.cell);
    }
  } else {
    for (std::int64_t i = 0; i < s.out_w; ++i) copy_cell(x + s.columns[i] * s.cell, s.cell, y + i * s.cell);
  }
}

std::size_t scratch_bytes(std::int64_t width) { return static_cast<std::size_t>(width) * sizeof(std::int32_t); }

Prepared prepare(const ResizeNearest::Params&, const CallSite& site) {
  return plan_scratch(scratch_bytes(std::max<std::int64_t>(site.outputs[0].shape[3], 0)));
}

template <class T>
void run_typed(const ResizeNearest::Params& p, const Call& call) {
  const TensorType &in = call.input(0).type(), &out = call.output(0).type();
  const auto scale = call_scale("ResizeNearest", p, call);
  if (out.shape.size() == 0) return;
  const CallScratch scratch(call, scratch_bytes(out.shape[3]));
  auto* columns = static_cast<std::int32_t*>(scratch.get());
  Sizes s{in.shape[2], in.shape[3], out.shape[2], out.shape[3], 1, columns};
  // Told by the columns and not by the scale: the output is not twice as wide where float32 rounds its width.
  s.doubles = s.out_w == 2 * s.w;
  for (std::int64_t i = 0; i < s.out_w; ++i) {
    columns[i] = static_cast<std::int32_t>(source(i, scale.w, s.w));
    s.doubles = s.doubles && columns[i] == i / 2;
  }
  std::int64_t planes = in.shape[0] * in.shape[1];
  if (in.layout == Layout::channels_last) {
    s.cell = in.shape[1];
    planes = in.shape[0];
  }
  const auto* x = static_cast<const T*>(call.input(0).raw());
  auto* y = static_cast<T*>(call.output(0).raw());
  const std::int64_t in_row = s.w * s.cell, out_row = s.out_w * s.cell;
  parallel_for(planes * s.out_h, 1 + (1 << 15) / out_row, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t before = -1;  // source row of the output row before, if that is this part's
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / s.out_h * s.h + source(i % s.out_h, scale.h, s.h);
      if (row == before)
        copy_cell(y + (i - 1) * out_row, out_row, y + i * out_row);
      else
        resize_row(s, x + row * in_row, y + i * out_row);
      before = row;
    }
  });
}

void run(const ResizeNearest::Params& p, const Call& call) {
  with_element_bytes(call.input(0).dtype(), [&]<class T>(T) { run_typed<T>(p, call); });
}

}  // namespace

template <>
Kernels<ResizeNearest> kernels<ResizeNearest, Backend::cpu>() {
  return {{.name = "rows",
           .reject = accepts_all<ResizeNearest>,
           .run = run,
           .prepare = prepare,
           .takes = Takes::any_element}};
}

}  // namespace d2deploy
