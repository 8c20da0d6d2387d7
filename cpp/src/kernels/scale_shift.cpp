#include "kernels/scale_shift.h"

#include <algorithm>

#include "core/threads.h"

namespace d2deploy {

namespace {

constexpr std::int64_t kGrain = 1 << 15;  // values per part of a parallel loop

template <bool kRelu>
float finish(float v) {
  return kRelu && v < 0.0F ? 0.0F : v;
}

template <bool kRelu, class X, class Y>
void planes(const Maps& maps, const ScaleShift& by, const X* x, Y* y) {
  const std::int64_t grain = 1 + kGrain / std::max<std::int64_t>(maps.cells, 1);
  parallel_for(maps.images * maps.channels, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      const std::int64_t at = p / maps.channels * by.image_step + p % maps.channels;
      const float scale = by.scale[at], shift = by.shift[at];
      const X* from = x + p * maps.cells;
      Y* to = y + p * maps.cells;
#pragma GCC ivdep
      for (std::int64_t i = 0; i < maps.cells; ++i)
        to[i] = static_cast<Y>(finish<kRelu>(scale * static_cast<float>(from[i]) + shift));
    }
  });
}

template <bool kRelu, class X, class Y>
void cells(const Maps& maps, const ScaleShift& by, const X* x, Y* y) {
  const std::int64_t grain = 1 + kGrain / std::max<std::int64_t>(maps.channels, 1);
  parallel_for(maps.images * maps.cells, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = i / maps.cells * by.image_step;
      const float *scale = by.scale + first, *shift = by.shift + first;
      const X* from = x + i * maps.channels;
      Y* to = y + i * maps.channels;
#pragma GCC ivdep
      for (std::int64_t c = 0; c < maps.channels; ++c)
        to[c] = static_cast<Y>(finish<kRelu>(scale[c] * static_cast<float>(from[c]) + shift[c]));
    }
  });
}

}  // namespace

Maps Maps::of(const TensorType& type) {
  const Shape& s = type.shape;
  return {s[0], s[1], s.size(2, s.rank()), type.layout == Layout::channels_last};
}

template <class X, class Y>
void scale_shift(const Maps& maps, const ScaleShift& by, const X* x, Y* y) {
  if (maps.size() == 0) return;
  if (maps.channels_last)
    by.relu ? cells<true>(maps, by, x, y) : cells<false>(maps, by, x, y);
  else
    by.relu ? planes<true>(maps, by, x, y) : planes<false>(maps, by, x, y);
}
template void scale_shift(const Maps&, const ScaleShift&, const float*, float*);
template void scale_shift(const Maps&, const ScaleShift&, const float*, BFloat16*);
template void scale_shift(const Maps&, const ScaleShift&, const BFloat16*, BFloat16*);

}  // namespace d2deploy
