// Deformable convolutions on a GPU: what the windows see is interpolated into rows of a matrix, some places at a time,
// which is then multiplied by the filters (matmul.h).
#pragma once
#include "kernels/deform.h"
#include "kernels/simt/convolve.h"

namespace d2deploy::simt {

/// Row i of `columns` is what place `first` + i sees, of all images together: the channels of one cell of the window
/// behind those of the other. They are float32, whatever X is: the sum is to be rounded once.
template <class T>
struct DeformJob {
  DeformedWindow window;
  const T* x;
  MapSteps x_steps;
  const float* offset;
  MapSteps offset_steps;
  const float* mask;  // null: none
  MapSteps mask_steps;
  int channels, of_offset;  // of X, of a deformable group
  std::int64_t first, count;
  float* columns;
};

/// Elements that a thread moves at once.
template <class T, int kSize>
struct alignas(std::min<std::size_t>(sizeof(T) * kSize, 16)) Piece {
  T values[kSize];
};

/// What is the same for the channels of a deformable group.
struct DeformSample {
  CellPair<int> rows, columns;
  float weight;
};

template <class T>
SIMT_DEVICE DeformSample sample_of(const DeformJob<T>& job, std::int64_t place, int cell, int group) {
  const DeformedWindow& at = job.window;
  const std::int64_t x = place % at.out_width, y = place / at.out_width % at.out_height,
                     image = place / at.out_width / at.out_height, k = group * at.cells() + cell;
  const auto found = [=](const MapSteps& s) { return image * s.n + y * s.h + x * s.w; };
  const float* offset = job.offset + found(job.offset_steps) + 2 * k * job.offset_steps.c;
  const float down = at.y(y, cell, offset[0]), across = at.x(x, cell, offset[job.offset_steps.c]);
  return {cells_around(down, static_cast<int>(at.height), at.zero_border),
          cells_around(across, static_cast<int>(at.width), at.zero_border),
          job.mask == nullptr ? 1.0F : job.mask[found(job.mask_steps) + k * job.mask_steps.c]};
}

/// kSize channels at a sample; `x` points to the first of them.
template <int kSize, class T>
SIMT_DEVICE Piece<float, kSize> interpolated(const T* x, const MapSteps& steps, const DeformSample& s) {
  Piece<float, kSize> sums = {};
  for (int r = 0; r < s.rows.count; ++r)
    for (int c = 0; c < s.columns.count; ++c) {
      const float weight = s.weight * s.rows.weights[r] * s.columns.weights[c];
      const auto piece =
          *reinterpret_cast<const Piece<T, kSize>*>(x + (s.rows.first + r) * steps.h + (s.columns.first + c) * steps.w);
      SIMT_UNROLL
      for (int i = 0; i < kSize; ++i) sums.values[i] += weight * to_float(piece.values[i]);
    }
  return sums;
}

/// A block takes one place after the other, its warps the cells of the window, their lanes the channels.
template <class T, int kSize, class Rows>
SIMT_KERNEL deform_columns(DeformJob<T> job, Rows images) {
  const int lane = static_cast<int>(threadIdx.x % kWarp), warps = static_cast<int>(blockDim.x / kWarp);
  const std::int64_t places = images.count() * job.window.out_height * job.window.out_width,
                     map = job.window.out_height * job.window.out_width;
  const int cells = static_cast<int>(job.window.cells());
  for (std::int64_t i = blockIdx.x; i < job.count && job.first + i < places; i += gridDim.x) {
    const std::int64_t place = job.first + i;
    const T* const image = job.x + place / map * job.x_steps.n;
    for (int cell = static_cast<int>(threadIdx.x / kWarp); cell < cells; cell += warps) {
      float* const row = job.columns + (i * cells + cell) * job.channels;
      for (int first = 0; first < job.channels; first += job.of_offset) {
        const DeformSample sample = sample_of(job, place, cell, first / job.of_offset);
        for (int c = lane * kSize; c < job.of_offset; c += static_cast<int>(kWarp) * kSize)
          *reinterpret_cast<Piece<float, kSize>*>(row + first + c) =
              interpolated<kSize>(image + (first + c) * job.x_steps.c, job.x_steps, sample);
      }
    }
  }
}

/// The rows as a matrix of which the channels of one group of filters are summed up.
struct ColumnOperand {
  const float* data;   // of the group's first channel
  std::int64_t first;  // the place of the first row
  std::int64_t row_step;
  unsigned of_group, channels;  // of a group, of X
  bool deep = true;

  using Line = std::int64_t;
  using Depth = std::int64_t;
  SIMT_DEVICE Line line(std::int64_t i) const { return (i - first) * row_step; }
  SIMT_DEVICE Depth depth(std::int64_t k) const {
    const auto at = static_cast<unsigned>(k);
    return at / of_group * channels + at % of_group;
  }
  SIMT_DEVICE float read(Line line, Depth depth) const { return data[line + depth]; }
};

struct DeformFilters {
  const float* data;
  MapSteps steps;
  int groups, of_group;  // filters of a group
};

/// Tiles of places along x, tiles of filters of groups along y.
template <class T, class Rows>
SIMT_KERNEL deform_products(DeformJob<T> job, DeformFilters filters, ConvOutput<T, T> output, Rows images) {
  const DeformedWindow& at = job.window;
  const int in = job.channels / filters.groups, tiles = (filters.of_group + kTileSide - 1) / kTileSide;
  const std::int64_t cells = at.cells(), row = job.first + std::int64_t{blockIdx.x} * kTileSide;
  const ProductShape shape{std::min(job.first + job.count, images.count() * at.out_height * at.out_width),
                           filters.of_group, cells * in};
  if (row >= shape.m) return;
  const ConvAxes axes{{at.height, at.out_height, at.kernel_h, 1, 1, 0, 0, 1, 0, 1},
                      {at.width, at.out_width, at.kernel_w, 1, 1, 0, 0, 1, 0, 1}};
  for (int i = static_cast<int>(blockIdx.y); i < tiles * filters.groups; i += static_cast<int>(gridDim.y)) {
    const int group = i / tiles;
    const ColumnOperand seen{job.columns + group * in, job.first, cells * job.channels, static_cast<unsigned>(in),
                             static_cast<unsigned>(job.channels)};
    const WindowOperand<T> windows{nullptr, job.x_steps, axes, static_cast<unsigned>(in), true};
    const FilterOperand<T> weights{filters.data + std::int64_t{group} * filters.of_group * filters.steps.n,
                                   filters.steps.n,
                                   filters.steps.c,
                                   filters.steps.h,
                                   filters.steps.w,
                                   windows,
                                   true};
    multiply_tile(shape, seen, weights, row, std::int64_t{i % tiles} * kTileSide,
                  ConvWriter<T, T>{output, axes, std::int64_t{group} * filters.of_group});
  }
}

}  // namespace d2deploy::simt
