// y = scale x + shift with numbers per channel, on a GPU: what every normalisation ends in.
#pragma once
#include "kernels/scale_shift.h"
#include "kernels/simt/index.h"
#include "operators/elementwise_cuda.h"

namespace d2deploy {

template <class T>
SIMT_KERNEL scale_and_shift(Maps maps, ScaleShift by, const T* x, T* y, bool in_packs) {
  using V = simt::Vector<T>;
  const std::int64_t size = in_packs ? V::kSize : 1, count = maps.images * maps.channels * maps.cells / size;
  for (std::int64_t i = simt::first_item(); i < count; i += simt::item_step()) {
    const std::int64_t at = i * size;
    std::int64_t c, n;
    if (maps.channels_last) {
      const std::int64_t place = simt::quotient(at, maps.channels);
      c = at - place * maps.channels;
      n = simt::quotient(place, maps.cells);
    } else {
      const std::int64_t plane = simt::quotient(at, maps.cells);
      n = simt::quotient(plane, maps.channels);
      c = plane - n * maps.channels;
    }
    const float *scale = by.scale + n * by.image_step + c, *shift = by.shift + n * by.image_step + c;
    const auto value = [&](T v, int channel) {
      const float result = scale[channel] * simt::to_float(v) + shift[channel];
      return simt::from_float<T>(by.relu && result < 0.0F ? 0.0F : result);
    };
    if (!in_packs) {
      y[i] = value(x[i], 0);
      continue;
    }
    V v = reinterpret_cast<const V*>(x)[i];
    for (int k = 0; k < V::kSize; ++k) v.values[k] = value(v.values[k], maps.channels_last ? k : 0);
    reinterpret_cast<V*>(y)[i] = v;
  }
}

/// y may be x. `by` is in memory of the GPU, too.
template <class T>
void launch_scale_shift(const char* name, const Maps& maps, const ScaleShift& by, const T* x, T* y,
                        simt::Stream stream) {
  if (maps.size() == 0) return;
  constexpr std::int64_t kSize = simt::Vector<T>::kSize;
  // A pack has one channel, or neighbouring ones of one place.
  const bool in_packs = in_vectors(x, y) && (maps.channels_last ? maps.channels : maps.cells) % kSize == 0;
  const unsigned blocks = simt::blocks_for(maps.size() / (in_packs ? kSize : 1), kElementThreads);
  simt::launch(name, scale_and_shift<T>, {blocks, kElementThreads, 0, stream}, maps, by, x, y, in_packs);
}

}  // namespace d2deploy
