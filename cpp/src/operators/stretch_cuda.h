// Resizing by linear interpolation, on a GPU: what ResizeBilinear and Interpolate share.
#pragma once
#include "operators/maps_cuda.h"

namespace d2deploy {

/// One direction: cell i of the output lies at max(step (i + shift) - shift, 0) among `size` cells of the input.
struct StretchAxis {
  std::int32_t size;
  float step, shift;

  /// With the corner cells in place.
  static StretchAxis of_corners(std::int64_t in, std::int64_t out) {
    const float step = out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1) : 0.0F;
    return {static_cast<std::int32_t>(in), step, 0};
  }
};

/// Between cells `low` and `high`, with their weights.
struct StretchPlace {
  std::int32_t low, high;
  float low_weight, high_weight;

  SIMT_DEVICE StretchPlace(const StretchAxis& axis, std::int32_t i) {
    const float at = std::max(axis.step * (static_cast<float>(i) + axis.shift) - axis.shift, 0.0F);
    low = std::min(static_cast<std::int32_t>(at), axis.size - 1);
    high = std::min(low + 1, axis.size - 1);
    high_weight = std::min(at - static_cast<float>(low), 1.0F);
    low_weight = 1.0F - high_weight;
  }
};

template <class T>
struct Stretched {
  DeviceMap<const T> x;
  StretchAxis rows, columns;
  bool nearest;  // takes `low` alone

  template <int kCount>
  SIMT_DEVICE void operator()(const MapCell& cell, Lanes<T, kCount>& y) const {
    const StretchPlace h(rows, cell.h), w(columns, cell.w);
    const auto at = [&](std::int32_t row, std::int32_t column) {
      return x.template at<kCount>({cell.image, cell.c, row, column});
    };
    const auto t0 = at(h.low, w.low);
    if (nearest) {
      y = t0;
      return;
    }
    const auto t1 = at(h.low, w.high), b0 = at(h.high, w.low), b1 = at(h.high, w.high);
    for (int i = 0; i < kCount; ++i) {
      const auto wide = [i](const Lanes<T, kCount>& lanes) { return simt::to_float(lanes.values[i]); };
      y.values[i] = simt::from_float<T>(h.low_weight * (w.low_weight * wide(t0) + w.high_weight * wide(t1)) +
                                        h.high_weight * (w.low_weight * wide(b0) + w.high_weight * wide(b1)));
    }
  }
};

}  // namespace d2deploy
