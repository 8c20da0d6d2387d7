#include "operators/upsample_nearest/upsample_nearest.h"

#include <algorithm>

#include "core/element_type.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

// One row of `width` cells with `cell` elements each, every cell `scale` times.
template <class T>
void stretch_row(const T* x, std::int64_t width, std::int64_t cell, std::int64_t scale, T* y) {
  for (std::int64_t i = 0; i < width; ++i, x += cell)
    for (std::int64_t k = 0; k < scale; ++k, y += cell) {
      if (cell == 1)
        *y = *x;
      else
        std::copy_n(x, cell, y);
    }
}

template <class T>
void run_typed(const UpsampleNearest::Params& p, const Call& call) {
  const TensorType &in = call.input(0).type(), &out = call.output(0).type();
  if (out.shape.size() == 0) return;
  const bool last = in.layout == Layout::channels_last;
  const std::int64_t planes = last ? in.shape[0] : in.shape[0] * in.shape[1], cell = last ? in.shape[1] : 1;
  const std::int64_t in_row = in.shape[3] * cell, out_row = out.shape[3] * cell;
  const auto* x = static_cast<const T*>(call.input(0).raw());
  auto* y = static_cast<T*>(call.output(0).raw());
  parallel_for(planes * in.shape[2], 1 + (1 << 15) / (out_row * p.scale), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      T* first = y + i * p.scale * out_row;
      stretch_row(x + i * in_row, in.shape[3], cell, p.scale, first);
      for (std::int64_t k = 1; k < p.scale; ++k) std::copy_n(first, out_row, first + k * out_row);
    }
  });
}

void run(const UpsampleNearest::Params& p, const Call& call) {
  with_element_bytes(call.input(0).dtype(), [&]<class T>(T) { run_typed<T>(p, call); });
}

}  // namespace

template <>
Kernels<UpsampleNearest> kernels<UpsampleNearest, Backend::cpu>() {
  return {{.name = "rows", .reject = accepts_all<UpsampleNearest>, .run = run, .takes = Takes::any_element}};
}

}  // namespace d2deploy
