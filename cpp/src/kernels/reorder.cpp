#include "kernels/reorder.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "core/element_type.h"
#include "core/threads.h"
#include "kernels/axis_runs.h"
#include "kernels/instruction_sets.h"
#include "kernels/transpose.h"

namespace d2deploy {

namespace {

// One image is a matrix, (C, H*W) in row-major and (H*W, C) in channels-last layout, to be transposed.
struct Images {
  std::int64_t count, channels, pixels;
};

constexpr std::int64_t kTile = 16;           // 16 floats are a cache line
constexpr std::int64_t kPixels = 4 * kTile;  // per part: reads of several lines in a row are cheaper

// Of a whole tile of elements of this size; null where there is none but the loop below.
template <class T>
using TransposeTile = void (*)(const T* x, std::int64_t x_step, T* y, std::int64_t y_step);
template <class T>
TransposeTile<T> fast_tile() {
#if defined(__x86_64__)
  if constexpr (std::is_same_v<T, std::uint32_t>)
    if (has_avx2()) return transpose_16x16_avx2;
#endif
  return nullptr;
}

// x is rows x columns with `x_step` elements from row to row; y is its transpose. Goes through a buffer so that
// each cache line of x and y is touched once, however unlucky the steps are (powers of two share cache sets).
template <class T>
void transpose_tile(const T* x, std::int64_t x_step, std::int64_t rows, std::int64_t columns, T* y,
                    std::int64_t y_step) {
  T buffer[kTile][kTile];
  if (rows == kTile && columns == kTile) {
    for (std::int64_t r = 0; r < kTile; ++r)
      for (std::int64_t c = 0; c < kTile; ++c) buffer[c][r] = x[r * x_step + c];
    for (std::int64_t c = 0; c < kTile; ++c) std::memcpy(y + c * y_step, buffer[c], sizeof buffer[c]);
    return;
  }
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) buffer[c][r] = x[r * x_step + c];
  for (std::int64_t c = 0; c < columns; ++c) std::copy_n(buffer[c], rows, y + c * y_step);
}

template <class T>
void transpose(const T* x, std::int64_t rows, std::int64_t columns, T* y, std::int64_t x_step, std::int64_t y_step) {
  const TransposeTile<T> fast = fast_tile<T>();
  for (std::int64_t r = 0; r < rows; r += kTile)
    for (std::int64_t c = 0; c < columns; c += kTile) {
      const std::int64_t m = std::min(kTile, rows - r), n = std::min(kTile, columns - c);
      const T* from = x + r * x_step + c;
      T* to = y + c * y_step + r;
      if (fast != nullptr && m == kTile && n == kTile)
        fast(from, x_step, to, y_step);
      else
        transpose_tile(from, x_step, m, n, to, y_step);
    }
}

// Few channels, as of a photo: a tile would be almost empty, and a loop over pixels keeps all lines in use.
template <class T>
void few_to_channels_last(const T* x, const Images& s, std::int64_t pixels, T* y) {
  for (std::int64_t c = 0; c < s.channels; ++c)
    for (std::int64_t i = 0; i < pixels; ++i) y[i * s.channels + c] = x[c * s.pixels + i];
}
template <class T>
void few_to_row_major(const T* x, const Images& s, std::int64_t pixels, T* y) {
  for (std::int64_t c = 0; c < s.channels; ++c)
    for (std::int64_t i = 0; i < pixels; ++i) y[c * s.pixels + i] = x[i * s.channels + c];
}

template <class T>
void reorder_images(const Images& s, const void* from, Layout to, void* out) {
  const auto* x = static_cast<const T*>(from);
  auto* y = static_cast<T*>(out);
  constexpr std::int64_t kGrain = 1 << 15, kFew = kTile / 2;
  const std::int64_t block = s.channels < kFew ? 1024 : kPixels, blocks = (s.pixels + block - 1) / block;
  parallel_for(s.count * blocks, 1 + kGrain / (s.channels * block), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t image = i / blocks * s.channels * s.pixels, first = i % blocks * block;
      const std::int64_t pixels = std::min(block, s.pixels - first);
      const std::int64_t row_major = image + first, channels_last = image + first * s.channels;
      if (to == Layout::channels_last) {
        if (s.channels < kFew)
          few_to_channels_last(x + row_major, s, pixels, y + channels_last);
        else
          transpose(x + row_major, s.channels, pixels, y + channels_last, s.pixels, s.channels);
      } else {
        if (s.channels < kFew)
          few_to_row_major(x + channels_last, s, pixels, y + row_major);
        else
          transpose(x + channels_last, pixels, s.channels, y + row_major, s.channels, s.pixels);
      }
    }
  });
}

}  // namespace

void reorder(const TensorType& from, const void* x, Layout to, void* y) {
  const std::int64_t bytes = from.bytes();
  if (bytes == 0) return;
  const Shape& s = from.shape;
  const bool same = s.rank() != 4 || from.layout == to || s[1] == 1 || s[2] * s[3] == 1;
  if (same) return copy_chunks(static_cast<const std::byte*>(x), 0, static_cast<std::byte*>(y), 0, bytes, 1);
  const Images images{s[0], s[1], s[2] * s[3]};
  with_element_bytes(from.dtype, [&]<class T>(T) { reorder_images<T>(images, x, to, y); });
}

Tensor reordered(const Tensor& tensor, Layout to) {
  TensorType type = tensor.type();
  if (type.shape.rank() == 4) type.layout = to;
  Tensor out = Tensor::allocate(type);
  reorder(tensor.type(), tensor.raw(), to, out.raw());
  return out;
}

void reorder_in_place(Tensor& tensor, Layout to) {
  TensorType type = tensor.type();
  if (type.shape.rank() != 4 || type.layout == to) return;
  type.layout = to;
  if (type.bytes() > 0) {
    TensorType image = tensor.type();
    image.shape = {1, type.shape[1], type.shape[2], type.shape[3]};
    const auto bytes = static_cast<std::size_t>(image.bytes());
    auto* data = static_cast<std::byte*>(tensor.raw());
    parallel_for(type.shape[0], 1, [&](std::int64_t begin, std::int64_t end) {
      std::vector<std::byte> before(bytes);
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
        std::memcpy(before.data(), data + i * bytes, bytes);
        reorder(image, before.data(), to, data + i * bytes);
      }
    });
  }
  tensor = tensor.with_type(type);
}

}  // namespace d2deploy
