#include "kernels/simt/rearrange.h"

#include "kernels/simt/element.h"
#include "kernels/simt/move.h"

namespace d2deploy::simt {

namespace {

constexpr unsigned kThreads = 256;

template <class T>
SIMT_KERNEL copy_channels_of(const T* x, std::int64_t from, T* y, std::int64_t to, std::int64_t pixels) {
  for (std::int64_t i = first_item(); i < pixels * to; i += item_step()) {
    const std::int64_t pixel = i / to, c = i % to;
    y[i] = c < from ? x[pixel * from + c] : T{};
  }
}

// A block of threads takes one pixel of y after the other, its threads the channels.
template <class T>
SIMT_KERNEL move_blocks(const T* x, T* y, Blocks b) {
  const std::int64_t rows = b.n * b.h * b.block_h, columns = b.w * b.block_w;
  for (std::int64_t pixel = blockIdx.x * blockDim.y + threadIdx.y; pixel < rows * columns;
       pixel += std::int64_t{gridDim.x} * blockDim.y) {
    const std::int64_t row = pixel / columns, column = pixel % columns;
    const std::int64_t cell = row / b.block_h * b.w + column / b.block_w;
    const T* from = x + ((cell * b.block_h + row % b.block_h) * b.block_w + column % b.block_w) * b.c;
    for (std::int64_t c = threadIdx.x; c < b.c; c += blockDim.x) y[pixel * b.c + c] = from[c];
  }
}

// Blocks (lines of y, parts of a line) of (channels, pixels) threads: what a channel stands for is found once.
template <class T>
SIMT_KERNEL fold(const T* x, T* y, Folding f) {
  const auto channel = static_cast<int>(threadIdx.x), c = static_cast<int>(f.c), phase = channel / c;
  const auto width = static_cast<int>(f.w), y_width = static_cast<int>(f.y_w);
  for (std::int64_t line = blockIdx.x; line < f.n * f.y_h; line += gridDim.x) {
    const std::int64_t image = line / f.y_h, v = 2 * (line % f.y_h - f.before_h) + phase / 2;
    const bool in_line = phase < 4 && v >= 0 && v < f.h;
    const T* from = in_line ? x + (image * f.h + v) * f.w * f.c + channel % c : x;
    T* to = y + line * f.y_w * f.channels + channel;
    for (auto i = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y); i < y_width;
         i += static_cast<int>(gridDim.y * blockDim.y)) {
      const int u = 2 * (i - static_cast<int>(f.before_w)) + phase % 2;
      to[std::int64_t{i} * f.channels] = in_line && u >= 0 && u < width ? from[std::int64_t{u} * c] : T{};
    }
  }
}

SIMT_KERNEL widen(const std::uint8_t* x, float* y, std::int64_t count) {
  for (std::int64_t i = first_item(); i < count; i += item_step()) y[i] = static_cast<float>(x[i]);
}

template <class T>
SIMT_KERNEL copy_counted(const T* x, T* y, std::int64_t most, const std::int32_t* rows, std::int64_t row_size) {
  const std::int64_t count = (rows == nullptr ? most : std::int64_t{*rows}) * row_size;
  for (std::int64_t i = first_item(); i < count; i += item_step()) y[i] = x[i];
}

SIMT_KERNEL add(float* y, const float* addend, std::int64_t count, bool relu) {
  using V = Vector<float>;
  const auto sum = [relu](float a, float b) { return relu && a + b < 0 ? 0 : a + b; };
  const bool fits = ((reinterpret_cast<std::uintptr_t>(y) | reinterpret_cast<std::uintptr_t>(addend)) & 15) == 0;
  const std::int64_t vectors = fits ? count / V::kSize : 0;
  for (std::int64_t i = first_item(); i < vectors; i += item_step()) {
    V v = reinterpret_cast<const V*>(y)[i];
    const V w = reinterpret_cast<const V*>(addend)[i];
    for (int k = 0; k < V::kSize; ++k) v.values[k] = sum(v.values[k], w.values[k]);
    reinterpret_cast<V*>(y)[i] = v;
  }
  for (std::int64_t i = vectors * V::kSize + first_item(); i < count; i += item_step()) y[i] = sum(y[i], addend[i]);
}

}  // namespace

void copy_channels(void* stream, DType dtype, const void* x, std::int64_t from_channels, void* y,
                   std::int64_t to_channels, std::int64_t pixels) {
  if (pixels * to_channels == 0) return;
  with_element_bytes(dtype, [&](auto element) {
    using T = decltype(element);
    launch("copy_channels", copy_channels_of<T>,
           {blocks_for(pixels * to_channels, kThreads), kThreads, 0, static_cast<Stream>(stream)},
           static_cast<const T*>(x), from_channels, static_cast<T*>(y), to_channels, pixels);
  });
}

void blocks_to_pixels(void* stream, DType dtype, const void* x, void* y, const Blocks& blocks) {
  const std::int64_t pixels = blocks.n * blocks.h * blocks.block_h * blocks.w * blocks.block_w;
  if (pixels * blocks.c == 0) return;
  const std::int64_t bytes = blocks.c * static_cast<std::int64_t>(size_of(dtype));
  with_unit(static_cast<std::uintptr_t>(bytes), [&]<class T>(T) {
    Blocks of = blocks;
    of.c = bytes / static_cast<std::int64_t>(sizeof(T));
    unsigned x_threads = 1;
    while (x_threads < of.c && x_threads < kThreads) x_threads *= 2;
    const dim3 threads(x_threads, kThreads / x_threads);
    launch("blocks_to_pixels", move_blocks<T>, {blocks_for(pixels, threads.y), threads, 0, static_cast<Stream>(stream)},
           static_cast<const T*>(x), static_cast<T*>(y), of);
  });
}

void fold_pixels(void* stream, DType dtype, const void* x, void* y, const Folding& f) {
  const std::int64_t lines = f.n * f.y_h;
  if (lines * f.y_w == 0) return;
  with_element_bytes(dtype, [&](auto element) {
    using T = decltype(element);
    constexpr unsigned kParts = 4;
    const auto channels = static_cast<unsigned>(f.channels);
    launch("fold_pixels", fold<T>,
           {{blocks_for(lines, 1), kParts}, {channels, kThreads / channels}, 0, static_cast<Stream>(stream)},
           static_cast<const T*>(x), static_cast<T*>(y), f);
  });
}

void add_map(void* stream, float* y, const float* addend, std::int64_t count, bool relu) {
  if (count == 0) return;
  launch("add_map", add, {blocks_for(count / Vector<float>::kSize, kThreads), kThreads, 0, static_cast<Stream>(stream)},
         y, addend, count, relu);
}

void widen_bytes(void* stream, const std::uint8_t* x, float* y, std::int64_t count) {
  if (count == 0) return;
  launch("widen_bytes", widen, {blocks_for(count, kThreads), kThreads, 0, static_cast<Stream>(stream)}, x, y, count);
}

void copy_rows(void* stream, const void* x, void* y, std::int64_t most, const std::int32_t* rows,
               std::size_t row_bytes) {
  if (most == 0 || row_bytes == 0) return;
  with_unit(row_bytes, [&]<class T>(T) {
    const auto row_size = static_cast<std::int64_t>(row_bytes / sizeof(T));
    launch("copy_rows", copy_counted<T>,
           {std::min(blocks_for(most * row_size, kThreads), 512U), kThreads, 0, static_cast<Stream>(stream)},
           static_cast<const T*>(x), static_cast<T*>(y), most, rows, row_size);
  });
}

}  // namespace d2deploy::simt
