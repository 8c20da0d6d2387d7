// Moves elements within the memory of a GPU, or from there to the host.
#pragma once
#include <cstddef>
#include <cstdint>

#include "d2deploy/dtype.h"

namespace d2deploy::simt {

/// y (pixels, to_channels) = x (pixels, from_channels): channels that y has more are 0, those that x has more are left
/// out. Both of this type.
void copy_channels(void* stream, DType dtype, const void* x, std::int64_t from_channels, void* y,
                   std::int64_t to_channels, std::int64_t pixels);

/// y (n, h * block_h, w * block_w, c) = x (n, h, w, block_h, block_w, c), as a transposed convolution whose windows do
/// not overlap makes it.
struct Blocks {
  std::int64_t n, h, w, block_h, block_w, c;
};
void blocks_to_pixels(void* stream, DType dtype, const void* x, void* y, const Blocks& blocks);

/// y (n, y_h, y_w, channels) = x (n, h, w, c) with each 2 x 2 pixels as one of 4 c channels, and 0 around it and in the
/// channels that are left: pixel (i, j) of y has the pixels of x from (2 (i - before_h), 2 (j - before_w)) on.
struct Folding {
  std::int64_t n, h, w, c, y_h, y_w, channels, before_h, before_w;
};
void fold_pixels(void* stream, DType dtype, const void* x, void* y, const Folding& folding);

/// y = y + addend, and no less than 0 with `relu`.
void add_map(void* stream, float* y, const float* addend, std::int64_t count, bool relu);

/// y = x, numbers of bytes as float32.
void widen_bytes(void* stream, const std::uint8_t* x, float* y, std::int64_t count);

/// The first `*rows` rows of x, or all `most` where rows is null, to the same place in y, which may be host memory that
/// the device reaches.
void copy_rows(void* stream, const void* x, void* y, std::int64_t most, const std::int32_t* rows,
               std::size_t row_bytes);

}  // namespace d2deploy::simt
