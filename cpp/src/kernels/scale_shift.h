// y = scale x + shift with numbers per channel: what every normalisation ends in.
#pragma once
#include <cstdint>

#include "d2deploy/tensor.h"

namespace d2deploy {

/// How a tensor (N, C, ...) lies in memory: a cell is one place of an image, with all its channels.
struct Maps {
  std::int64_t images, channels, cells;
  bool channels_last;  ///< (N, cells, C), else (N, C, cells)

  static Maps of(const TensorType& type);
  std::int64_t size() const { return images * channels * cells; }
};

/// Scale and shift of channel c of image n stand at n * image_step + c; a step of 0: the same for all images.
struct ScaleShift {
  const float *scale, *shift;
  std::int64_t image_step = 0;
  bool relu = false;  ///< max(y, 0) instead of y; NaN stays NaN
};

/// y may be x where they are of one type. X and Y are float or BFloat16; BFloat16 stays so.
template <class X, class Y>
void scale_shift(const Maps& maps, const ScaleShift& by, const X* x, Y* y);

}  // namespace d2deploy
