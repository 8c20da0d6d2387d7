// Convolutions and transposed ones on a GPU, of any window, group and layout: products of matrices (matmul.h) whose
// rows are the windows on the images, read where they stand.
#pragma once
#include "kernels/simt/matmul.h"

namespace d2deploy::simt {

/// Element steps of a map or of filters.
struct MapSteps {
  std::int64_t n, c, h, w;
};

/// One direction of a convolution: cell p of the output, of `count`, sums over t < taps
///   input[p cell_step + t tap_step + origin] * filter[filter_first + t filter_step]
/// where the input, of `size`, has such a cell, and stands at out_first + p out_step.
struct ConvAxis {
  std::int64_t size, count, taps;
  std::int64_t cell_step, tap_step, origin;
  std::int64_t filter_first, filter_step;
  std::int64_t out_first, out_step;
};

/// The same for a transposed convolution. Cells of the output whose places are equal modulo the stride see the same
/// taps of the filter, each in one cell of the input: they are an ordinary convolution, one for each such phase.
struct TransposedAxis {
  std::int64_t size, out, kernel, stride, pad;

  SIMT_DEVICE ConvAxis phase(std::int64_t p) const {
    const std::int64_t first = ((p - pad) % stride + stride) % stride;  // output cell
    const std::int64_t count = first < out ? (out - first - 1) / stride + 1 : 0;
    const std::int64_t taps = p < kernel ? (kernel - p - 1) / stride + 1 : 0;
    return {size, count, taps, 1, -1, (first + pad - p) / stride, p, stride, first, stride};
  }
};

struct ConvAxes {
  ConvAxis down, across;
};

/// The images as a matrix of windows. Channels last, the sum runs over channels inside of the window's cells, else over
/// cells inside of channels, so that neighbouring threads read neighbours.
template <class T>
struct WindowOperand {
  const T* data;  // of the group's first channel
  MapSteps steps;
  ConvAxes axes;
  unsigned channels;  // of the group
  bool deep;          // channels last

  struct Line {
    std::int64_t image, h, w;
  };
  struct Depth {
    std::int64_t channel, h, w;
  };
  struct Tap {
    unsigned channel, h, w;
  };

  SIMT_DEVICE Tap tap(std::int64_t k) const {
    const auto at = static_cast<unsigned>(k), down = static_cast<unsigned>(axes.down.taps),
               across = static_cast<unsigned>(axes.across.taps);
    if (deep) return {at % channels, at / channels / across, at / channels % across};
    return {at / across / down, at / across % down, at % across};
  }
  SIMT_DEVICE Line line(std::int64_t i) const {
    const std::int64_t row = i / axes.across.count, w = i % axes.across.count, h = row % axes.down.count;
    return {row / axes.down.count * steps.n, h * axes.down.cell_step + axes.down.origin,
            w * axes.across.cell_step + axes.across.origin};
  }
  SIMT_DEVICE Depth depth(std::int64_t k) const {
    const Tap t = tap(k);
    return {t.channel * steps.c, t.h * axes.down.tap_step, t.w * axes.across.tap_step};
  }
  SIMT_DEVICE float read(const Line& line, const Depth& depth) const {
    const std::int64_t h = line.h + depth.h, w = line.w + depth.w;
    if (h < 0 || h >= axes.down.size || w < 0 || w >= axes.across.size) return 0;
    return to_float(data[line.image + depth.channel + h * steps.h + w * steps.w]);
  }
};

/// The filters of a group, as a matrix that goes with the windows of `x`.
template <class T>
struct FilterOperand {
  const float* data;
  std::int64_t output_step, channel_step, h_step, w_step;
  WindowOperand<T> x;
  bool deep;

  using Line = std::int64_t;
  using Depth = std::int64_t;
  SIMT_DEVICE Line line(std::int64_t i) const { return i * output_step; }
  SIMT_DEVICE Depth depth(std::int64_t k) const {
    const auto t = x.tap(k);
    return t.channel * channel_step + (x.axes.down.filter_first + t.h * x.axes.down.filter_step) * h_step +
           (x.axes.across.filter_first + t.w * x.axes.across.filter_step) * w_step;
  }
  SIMT_DEVICE float read(Line line, Depth depth) const { return data[line + depth]; }
};

/// What follows the sums: y = max(sum + bias + addend, 0), each where it is asked for.
template <class T, class Y>
struct ConvOutput {
  Y* data;
  MapSteps steps;
  const float* bias;  // null: none
  const T* addend;    // null: none
  MapSteps addend_steps;
  bool relu;
};

template <class T, class Y>
struct ConvJob {
  const T* x;
  MapSteps x_steps;
  bool channels_last;
  const float* filters;
  std::int64_t output_step, channel_step, h_step, w_step;  // of filters
  bool transposed;
  ConvAxes axes;                                   // of an ordinary convolution
  TransposedAxis turned_down, turned_across;       // of a transposed one
  std::int64_t groups, in_channels, out_channels;  // of a group
  ConvOutput<T, Y> y;

  SIMT_HOST_DEVICE std::int64_t phases() const { return transposed ? turned_down.stride * turned_across.stride : 1; }
  SIMT_DEVICE ConvAxes axes_of(std::int64_t phase) const {
    if (!transposed) return axes;
    return {turned_down.phase(phase / turned_across.stride), turned_across.phase(phase % turned_across.stride)};
  }
};

/// Writes sums to their places in the map of one group.
template <class T, class Y>
struct ConvWriter {
  ConvOutput<T, Y> y;
  ConvAxes axes;
  std::int64_t first_channel;

  struct Line {
    std::int64_t y, addend;
  };
  SIMT_DEVICE Line line(std::int64_t i) const {
    const std::int64_t row = i / axes.across.count, n = row / axes.down.count;
    const std::int64_t h = axes.down.out_first + row % axes.down.count * axes.down.out_step,
                       w = axes.across.out_first + i % axes.across.count * axes.across.out_step;
    const auto at = [&](const MapSteps& s) { return n * s.n + h * s.h + w * s.w; };
    return {at(y.steps), at(y.addend_steps)};
  }
  SIMT_DEVICE void write(const Line& line, std::int64_t j, float sum) const {
    const std::int64_t channel = first_channel + j;
    if (y.bias != nullptr) sum += y.bias[channel];
    if (y.addend != nullptr) sum += to_float(y.addend[line.addend + channel * y.addend_steps.c]);
    if (y.relu && sum < 0.0F) sum = 0;
    y.data[line.y + channel * y.steps.c] = from_float<Y>(sum);
  }
};

/// Tiles of outputs along x, tiles of channels of groups along y, phases along z. `Rows` tells how many images there
/// are.
template <class T, class Y, class Rows>
SIMT_KERNEL convolve(ConvJob<T, Y> job, Rows images) {
  const std::int64_t tiles = (job.out_channels + kTileSide - 1) / kTileSide;
  for (std::int64_t phase = blockIdx.z; phase < job.phases(); phase += gridDim.z) {
    const ConvAxes axes = job.axes_of(phase);
    const ProductShape shape{images.count() * axes.down.count * axes.across.count, job.out_channels,
                             job.in_channels * axes.down.taps * axes.across.taps};
    const std::int64_t row = std::int64_t{blockIdx.x} * kTileSide;
    if (row >= shape.m) continue;
    for (std::int64_t i = blockIdx.y; i < tiles * job.groups; i += gridDim.y) {
      const std::int64_t group = i / tiles;
      const WindowOperand<T> windows{job.x + group * job.in_channels * job.x_steps.c, job.x_steps, axes,
                                     static_cast<unsigned>(job.in_channels), job.channels_last};
      const std::int64_t filter_group =
          job.transposed ? group * job.in_channels * job.channel_step : group * job.out_channels * job.output_step;
      const FilterOperand<T> filters{job.filters + filter_group,
                                     job.output_step,
                                     job.channel_step,
                                     job.h_step,
                                     job.w_step,
                                     windows,
                                     !job.transposed};
      multiply_tile(shape, windows, filters, row, i % tiles * kTileSide,
                    ConvWriter<T, Y>{job.y, axes, group * job.out_channels});
    }
  }
}

}  // namespace d2deploy::simt
