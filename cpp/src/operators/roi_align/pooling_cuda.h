// What the kernels of RoIAlign and PyramidRoIAlign for GPUs share: RoIAlign is that of a pyramid of one level.
#pragma once
#include "core/element_type.h"
#include "kernels/fpn_levels.h"
#include "kernels/pool_bin.h"
#include "kernels/roi_axis.h"
#include "kernels/simt/element.h"
#include "kernels/simt/first_row.h"
#include "operators/device_call.h"

namespace d2deploy {

constexpr std::size_t kMostPooledLevels = 16;

/// A call of either operator.
template <class T>
struct PoolingCall {
  FeatureMap<T> maps[kMostPooledLevels];
  int level_count;
  FpnLevels levels;  // picks the level where there are several
  RoiGrid grid;
  const float* rois;
  DeviceRows rows;
  std::int64_t columns;  // of a row of rois
  T* y;
  Strides4 y_strides;
  DeviceFault* fault;

  SIMT_DEVICE float stored_image(std::int64_t row) const { return columns == 5 ? rois[row * columns] : 0.0F; }
  SIMT_DEVICE Box box(std::int64_t row) const { return load_box(rois + (row + 1) * columns - 4); }
  SIMT_DEVICE const FeatureMap<T>& map_of(const Box& b) const { return maps[level_count > 1 ? levels.index(b) : 0]; }
};

template <class T>
FeatureMap<T> device_map(const Call& call, std::size_t input, float scale) {
  const Tensor& x = call.input(input);
  const Strides4 s = strides4(x.type());
  return {device_in<T>(call, input), x.dim(0), x.dim(1), x.dim(2), x.dim(3), s.n, s.c, s.h, s.w, scale};
}

/// All but the maps and the levels.
template <class T>
PoolingCall<T> pooling_call(const RoiGrid& grid, const Call& call, std::size_t rois) {
  PoolingCall<T> job{};
  job.grid = grid;
  job.rois = device_in<float>(call, rois);
  job.rows = rows_of_input(call, rois);
  job.columns = call.input(rois).dim(1);
  job.y = device_out<T>(call, 0);
  job.y_strides = strides4(call.output(0).type());
  job.fault = call.fault;
  return job;
}

namespace pooling {

using namespace simt;

constexpr unsigned kThreads = 256;

// The first row whose image index is out of range, with the index. For all threads of one block.
template <class T>
SIMT_DEVICE void find_fault(const PoolingCall<T>& job) {
  const std::int64_t row = first_row(
      job.rows.count(), [&](std::int64_t i) { return !is_image_index(job.stored_image(i), job.maps[0].images); });
  if (row >= 0 && threadIdx.x == 0 && threadIdx.y == 0) *job.fault = {1, row, job.stored_image(row)};
}

// Calls use(weights, offsets) for each sample of bin (ph, pw) on the map: those of the four cells around it, from the
// first channel of the first cell.
template <class Int, class F>
SIMT_DEVICE void for_each_sample(const RoiAxis& vertical, const RoiAxis& horizontal, Int ph, Int pw, Int stride_h,
                                 Int stride_w, const F& use) {
  const SampleLine &down = vertical.line, &across = horizontal.line;
  const SampleRange rows = vertical.samples_near_map(ph), columns = horizontal.samples_near_map(pw);
  SampleOf<Int> v{}, h{};
  for (auto i = static_cast<Int>(rows.begin); i < static_cast<Int>(rows.end); ++i) {
    if (!locate(down.position(ph, i), static_cast<Int>(vertical.size), v)) continue;
    const Int low = v.low * stride_h, high = v.high * stride_h;
    for (auto j = static_cast<Int>(columns.begin); j < static_cast<Int>(columns.end); ++j) {
      if (!locate(across.position(pw, j), static_cast<Int>(horizontal.size), h)) continue;
      const Int left = h.low * stride_w, right = h.high * stride_w;
      const float weights[4] = {(1 - v.fraction) * (1 - h.fraction), (1 - v.fraction) * h.fraction,
                                v.fraction * (1 - h.fraction), v.fraction * h.fraction};
      const Int cells[4] = {low + left, low + right, high + left, high + right};
      use(weights, cells);
    }
  }
}

SIMT_DEVICE inline float samples_in_bin(const RoiAxis& vertical, const RoiAxis& horizontal) {
  return static_cast<float>(vertical.line.grid) * static_cast<float>(horizontal.line.grid);
}

// A block takes one bin after the other, its threads the channels: neighbours read neighbours where these come last.
template <class T>
SIMT_KERNEL pool_any(PoolingCall<T> job) {
  if (blockIdx.x == 0) find_fault(job);
  const RoiGrid& grid = job.grid;
  const std::int64_t bins = grid.pooled_h * grid.pooled_w, all = job.rows.count() * bins;
  for (std::int64_t bin = blockIdx.x; bin < all; bin += gridDim.x) {
    const std::int64_t row = bin / bins, ph = bin % bins / grid.pooled_w, pw = bin % grid.pooled_w;
    const Box box = job.box(row);
    const FeatureMap<T>& map = job.map_of(box);
    const float image = job.stored_image(row);
    if (!is_image_index(image, map.images)) continue;  // a fault
    const RoiAxis vertical = roi_axis(grid, box.y1, box.y2, map.scale, grid.pooled_h, map.height);
    const RoiAxis horizontal = roi_axis(grid, box.x1, box.x2, map.scale, grid.pooled_w, map.width);
    const float samples = samples_in_bin(vertical, horizontal);
    const T* x = map.data + static_cast<std::int64_t>(image) * map.stride_n;
    T* y = job.y + row * job.y_strides.n + ph * job.y_strides.h + pw * job.y_strides.w;
    for (std::int64_t c = threadIdx.x; c < map.channels; c += blockDim.x) {
      float sum = 0;
      const T* channel = x + c * map.stride_c;
      const auto add = [&](const float* w, const std::int64_t* cells) {
        sum += w[0] * to_float(channel[cells[0]]) + w[1] * to_float(channel[cells[1]]) +
               w[2] * to_float(channel[cells[2]]) + w[3] * to_float(channel[cells[3]]);
      };
      if (samples > 0) for_each_sample(vertical, horizontal, ph, pw, map.stride_h, map.stride_w, add);
      y[c * job.y_strides.c] = from_float<T>(samples > 0 ? sum / samples : 0.0F);
    }
  }
}

constexpr int kMostTaps = 16;  // cells of a bin along an axis
constexpr int kMostBins = 16;  // along an axis

// The cells [first, first + count) of a bin along one axis, and how much the samples of the bin take of each.
struct DeviceTaps {
  int first, count;
  float weights[kMostTaps];
};

// False where the bin reaches over more cells.
SIMT_DEVICE inline bool find_taps(const RoiAxis& axis, int in_bin, DeviceTaps& taps) {
  taps = {};
  const SampleRange range = axis.samples_near_map(in_bin);
  SampleOf<int> s{};
  for (auto i = static_cast<int>(range.begin); i < static_cast<int>(range.end); ++i) {
    if (!locate(axis.line.position(in_bin, i), static_cast<int>(axis.size), s)) continue;
    if (taps.count == 0) taps.first = s.low;
    const int low = s.low - taps.first, high = s.high - taps.first;
    if (low < 0 || high >= kMostTaps) return false;
    taps.weights[low] += 1 - s.fraction;
    taps.weights[high] += s.fraction;
    taps.count = std::max(taps.count, high + 1);
  }
  return true;
}

// What a bin is of as many channels as lie in 16 bytes, from `x` on; `sum_of(sum)` adds the weighted cells.
template <class T, class F>
SIMT_DEVICE Vector<T> mean_of(float samples, const F& sum_of) {
  float sum[Vector<T>::kSize] = {};
  if (samples > 0) sum_of(sum);
  Vector<T> out;
  for (int i = 0; i < Vector<T>::kSize; ++i) out.values[i] = from_float<T>(samples > 0 ? sum[i] / samples : 0.0F);
  return out;
}

// Each cell is read once, some at a time.
template <class T>
SIMT_DEVICE void add_cells(const T* x, const DeviceTaps& down, const DeviceTaps& across, int stride_h, int stride_w,
                           float* sum) {
  using V = Vector<T>;
  constexpr int kAtOnce = 4;
  for (int i = 0; i < down.count; ++i) {
    const T* row = x + (down.first + i) * stride_h + across.first * stride_w;
    for (int first = 0; first < across.count; first += kAtOnce) {
      V cells[kAtOnce];
      SIMT_UNROLL
      for (int j = 0; j < kAtOnce; ++j)
        cells[j] = first + j < across.count ? *reinterpret_cast<const V*>(row + (first + j) * stride_w) : V{};
      SIMT_UNROLL
      for (int j = 0; j < kAtOnce; ++j) {
        const float weight = down.weights[i] * across.weights[first + j];
        for (int k = 0; k < V::kSize; ++k) sum[k] = std::fma(weight, to_float(cells[j].values[k]), sum[k]);
      }
    }
  }
}

// The four cells around each sample, however large the bin is.
template <class T>
SIMT_DEVICE void add_samples(const T* x, const RoiAxis& vertical, const RoiAxis& horizontal, int ph, int pw,
                             int stride_h, int stride_w, float* sum) {
  using V = Vector<T>;
  for_each_sample(vertical, horizontal, ph, pw, stride_h, stride_w, [&](const float* w, const int* cells) {
    const V a = *reinterpret_cast<const V*>(x + cells[0]), b = *reinterpret_cast<const V*>(x + cells[1]);
    const V c = *reinterpret_cast<const V*>(x + cells[2]), d = *reinterpret_cast<const V*>(x + cells[3]);
    for (int i = 0; i < V::kSize; ++i)
      sum[i] += w[0] * to_float(a.values[i]) + w[1] * to_float(b.values[i]) + w[2] * to_float(c.values[i]) +
                w[3] * to_float(d.values[i]);
  });
}

// Channels last, in vectors: blocks (rows, parts of the bins) of (vectors, bins) threads. Maps of an image have less
// than 2^31 elements.
template <class T>
SIMT_KERNEL pool_vectors(PoolingCall<T> job) {
  SIMT_SHARED(DeviceTaps, taps, 2 * kMostBins);  // down, then across
  SIMT_SHARED(int, too_large, 1);
  if (blockIdx.x == 0 && blockIdx.y == 0) find_fault(job);
  const std::int64_t row = blockIdx.x;
  if (row >= job.rows.count()) return;
  const Box box = job.box(row);
  const FeatureMap<T>& map = job.map_of(box);
  const float image = job.stored_image(row);
  if (!is_image_index(image, map.images)) return;  // a fault
  const RoiAxis vertical = roi_axis(job.grid, box.y1, box.y2, map.scale, job.grid.pooled_h, map.height);
  const RoiAxis horizontal = roi_axis(job.grid, box.x1, box.x2, map.scale, job.grid.pooled_w, map.width);
  const auto pooled_h = static_cast<int>(job.grid.pooled_h), pooled_w = static_cast<int>(job.grid.pooled_w);
  const auto thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  const auto threads = static_cast<int>(blockDim.x * blockDim.y);
  const bool few_bins = pooled_h <= kMostBins && pooled_w <= kMostBins;
  if (thread == 0) too_large[0] = few_bins ? 0 : 1;
  __syncthreads();
  for (int i = thread; few_bins && i < pooled_h + pooled_w; i += threads) {
    const bool fits = i < pooled_h ? find_taps(vertical, i, taps[i])
                                   : find_taps(horizontal, i - pooled_h, taps[kMostBins + i - pooled_h]);
    if (!fits) atomicOr(&too_large[0], 1);
  }
  __syncthreads();
  const bool by_cells = too_large[0] == 0;
  const float samples = samples_in_bin(vertical, horizontal);
  const auto channels = static_cast<int>(map.channels);
  const auto stride_h = static_cast<int>(map.stride_h), stride_w = static_cast<int>(map.stride_w);
  const T* x = map.data + static_cast<std::int64_t>(image) * map.stride_n;
  T* y = job.y + row * job.y_strides.n;
  for (auto bin = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y); bin < pooled_h * pooled_w;
       bin += static_cast<int>(gridDim.y * blockDim.y))
    for (int c = static_cast<int>(threadIdx.x) * Vector<T>::kSize; c < channels;
         c += static_cast<int>(blockDim.x) * Vector<T>::kSize) {
      const int ph = bin / pooled_w, pw = bin % pooled_w;
      *reinterpret_cast<Vector<T>*>(y + std::int64_t{bin} * channels + c) = mean_of<T>(samples, [&](float* sum) {
        if (by_cells)
          add_cells(x + c, taps[ph], taps[kMostBins + pw], stride_h, stride_w, sum);
        else
          add_samples(x + c, vertical, horizontal, ph, pw, stride_h, stride_w, sum);
      });
    }
}

template <class T>
bool takes_vectors(const PoolingCall<T>& job) {
  const auto fits = [](const void* p, std::int64_t channels) {
    return reinterpret_cast<std::uintptr_t>(p) % sizeof(Vector<T>) == 0 && channels % Vector<T>::kSize == 0;
  };
  bool all = job.y_strides.c == 1 && fits(job.y, job.maps[0].channels) && job.rows.most <= INT32_MAX;
  for (int i = 0; i < job.level_count; ++i) {
    const FeatureMap<T>& map = job.maps[i];
    all =
        all && map.stride_c == 1 && fits(map.data, map.channels) && map.channels * map.height * map.width <= INT32_MAX;
  }
  return all;
}

}  // namespace pooling

/// Launches what fits the maps.
template <class T>
void launch_pooling(const char* name, const PoolingCall<T>& job, simt::Stream stream) {
  using namespace pooling;
  const std::int64_t channels = job.maps[0].channels, bins = job.grid.pooled_h * job.grid.pooled_w;
  if (!takes_vectors(job)) {
    const auto threads =
        static_cast<unsigned>(std::min<std::int64_t>((channels + kWarp - 1) / kWarp * kWarp, kThreads));
    launch(name, pool_any<T>, {blocks_for(job.rows.most * bins, 1), threads, 0, stream}, job);
    return;
  }
  constexpr std::int64_t kBlocks = 2048;  // enough of them where there are few rows
  const auto across = static_cast<unsigned>(std::min<std::int64_t>(channels / Vector<T>::kSize, kThreads));
  const unsigned down = kThreads / across;
  const std::int64_t most_parts = (bins + down - 1) / down;
  const auto parts = static_cast<unsigned>(std::clamp<std::int64_t>(kBlocks / job.rows.most, 1, most_parts));
  launch(name, pool_vectors<T>, {{static_cast<unsigned>(job.rows.most), parts}, {across, down}, 0, stream}, job);
}

}  // namespace d2deploy
