#include "kernels/roi_align.h"

#include <algorithm>
#include <compare>

#include "core/threads.h"
#include "kernels/bilinear.h"
#include "kernels/scratch.h"

namespace d2deploy {

namespace {

// Where a RoI is pooled from.
struct Source {
  Box box;
  std::size_t level;
  std::int64_t image;
};

template <class T>
Source find_source(const RoiAlignJob<T>& job, std::int64_t row) {
  const float* p = job.rois + row * job.columns;
  const Box box = load_box(p + job.columns - 4);
  const std::size_t level = job.maps.size() > 1 ? static_cast<std::size_t>(job.levels.index(box)) : 0;
  return {box, level, image_index(job.op, row, job.columns == 5 ? p[0] : 0.0F, job.maps[level].images)};
}

// One RoI, ready to be pooled.
template <class T>
struct Target {
  const FeatureMap<T>* map;
  const T* image;
  RoiAxis vertical, horizontal;
};

template <class T>
Target<T> make_target(const RoiAlignJob<T>& job, std::int64_t row) {
  const auto [box, level, image] = find_source(job, row);
  const FeatureMap<T>& map = job.maps[level];
  return {&map, map.data + image * map.stride_n,
          roi_axis(job.grid, box.y1, box.y2, map.scale, job.grid.pooled_h, map.height),
          roi_axis(job.grid, box.x1, box.x2, map.scale, job.grid.pooled_w, map.width)};
}

template <class T>
T* bin_output(const RoiAlignJob<T>& job, std::int64_t row, std::int64_t ph, std::int64_t pw) {
  return job.y + row * job.y_stride_n + ph * job.y_stride_h + pw * job.y_stride_w;
}

// y[c] += the bilinear sample at (v, h).
void add_sample(const Target<float>& t, const Sample& v, const Sample& h, float* y, std::int64_t y_stride_c) {
  const FeatureMap<float>& m = *t.map;
  const std::int64_t low = v.low * m.stride_h, high = v.high * m.stride_h;
  const std::int64_t left = h.low * m.stride_w, right = h.high * m.stride_w;
  const float w1 = (1 - v.fraction) * (1 - h.fraction), w2 = (1 - v.fraction) * h.fraction,
              w3 = v.fraction * (1 - h.fraction), w4 = v.fraction * h.fraction;
  for (std::int64_t c = 0; c < m.channels; ++c) {
    const float* x = t.image + c * m.stride_c;
    y[c * y_stride_c] += w1 * x[low + left] + w2 * x[low + right] + w3 * x[high + left] + w4 * x[high + right];
  }
}

void sample_bin(const Target<float>& t, std::int64_t ph, std::int64_t pw, float* y, std::int64_t y_stride_c) {
  const std::int64_t channels = t.map->channels;
  for (std::int64_t c = 0; c < channels; ++c) y[c * y_stride_c] = 0;
  const SampleLine &down = t.vertical.line, &across = t.horizontal.line;
  if (down.grid == 0 || across.grid == 0) return;
  const SampleRange rows = t.vertical.samples_near_map(ph), columns = t.horizontal.samples_near_map(pw);
  Sample v{}, h{};
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    if (!locate(down.position(ph, i), t.vertical.size, v)) continue;
    for (std::int64_t j = columns.begin; j < columns.end; ++j)
      if (locate(across.position(pw, j), t.horizontal.size, h)) add_sample(t, v, h, y, y_stride_c);
  }
  const float count = static_cast<float>(down.grid) * static_cast<float>(across.grid);
  for (std::int64_t c = 0; c < channels; ++c) y[c * y_stride_c] /= count;
}

// The weights of one bin along one axis, their sum 1 where all samples count. `weights` has room for the axis.
Taps make_taps(const RoiAxis& axis, std::int64_t in_bin, float* weights) {
  Taps taps{weights, 0, 0};
  const SampleRange samples = axis.samples_near_map(in_bin);
  const auto add = [&](std::int64_t cell, float weight) {
    if (taps.count == 0) taps.first = cell;
    while (taps.first + taps.count <= cell) weights[taps.count++] = 0;
    weights[cell - taps.first] += weight;
  };
  Sample s{};
  for (std::int64_t i = samples.begin; i < samples.end; ++i) {
    if (!locate(axis.line.position(in_bin, i), axis.size, s)) continue;
    add(s.low, 1 - s.fraction);  // positions ascend, and so do cells
    add(s.high, s.fraction);
  }
  for (std::int64_t k = 0; k < taps.count; ++k) weights[k] /= static_cast<float>(axis.line.grid);
  return taps;
}

// A RoI and where it lies. In the order of places, RoIs of one level and image follow each other from left to right
// along bands of the map: each finds most of its cells in the cache, where the one before it has left them.
struct Place {
  std::uint64_t place;
  std::int64_t row;
  auto operator<=>(const Place&) const = default;
};
constexpr std::uint64_t kPlaces = 1 << 16;  // of each coordinate

std::uint64_t cell_of(float from, float to, float scale, std::int64_t size) {
  const float middle = (from + to) / 2 * scale, last = static_cast<float>(size - 1);
  return middle > 0 && last > 0 ? static_cast<std::uint64_t>(std::min(middle, last)) % kPlaces : 0;
}

template <class T>
void sort_by_place(const RoiAlignJob<T>& job, std::span<Place> places) {
  constexpr std::uint64_t kBand = 16;  // cells: about the side of a RoI on its level
  for (std::int64_t row = 0; row < job.rows; ++row) {
    const auto [box, level, image] = find_source(job, row);
    const FeatureMap<T>& map = job.maps[level];
    const std::uint64_t y = cell_of(box.y1, box.y2, map.scale, map.height) / kBand;
    const std::uint64_t x = cell_of(box.x1, box.x2, map.scale, map.width);
    const std::uint64_t map_of = level * kPlaces + static_cast<std::uint64_t>(image) % kPlaces;
    places[static_cast<std::size_t>(row)] = {(map_of * kPlaces + y) * kPlaces + x, row};
  }
  std::ranges::sort(places);
}

// What one thread works in.
struct Workspace {
  Taps *rows, *columns;
  float *row_weights, *column_weights;

  Workspace(Scratch& scratch, const RoiGrid& grid, std::int64_t height, std::int64_t width)
      : rows(scratch.take<Taps>(grid.pooled_h)),
        columns(scratch.take<Taps>(grid.pooled_w)),
        row_weights(scratch.take<float>(checked_product(grid.pooled_h, height))),
        column_weights(scratch.take<float>(checked_product(grid.pooled_w, width))) {}
};

std::size_t workspace_bytes(const RoiGrid& grid, std::int64_t height, std::int64_t width) {
  Scratch scratch;
  const Workspace work(scratch, grid, height, width);
  return scratch.bytes();
}

template <class T>
void pool_row(const RoiAlignJob<T>& job, std::int64_t row, PoolBin<T> pool_bin, const Workspace& work) {
  const Target<T> t = make_target(job, row);
  for (std::int64_t ph = 0; ph < job.grid.pooled_h; ++ph)
    work.rows[ph] = make_taps(t.vertical, ph, work.row_weights + ph * t.map->height);
  for (std::int64_t pw = 0; pw < job.grid.pooled_w; ++pw)
    work.columns[pw] = make_taps(t.horizontal, pw, work.column_weights + pw * t.map->width);
  for (std::int64_t ph = 0; ph < job.grid.pooled_h; ++ph)
    for (std::int64_t pw = 0; pw < job.grid.pooled_w; ++pw)
      pool_bin(*t.map, t.image, work.rows[ph], work.columns[pw], bin_output(job, row, ph, pw), job.y_stride_c);
}

// RoIs differ much in cost, so there are many more tasks than threads. Their number must not depend on the
// threads: the scratch memory is asked for before they are known.
std::int64_t task_count(std::int64_t rows) { return std::min<std::int64_t>(rows, 64); }

}  // namespace

void roi_align_direct(const RoiAlignJob<float>& job) {
  parallel_for(job.rows, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const Target<float> t = make_target(job, row);
      for (std::int64_t ph = 0; ph < job.grid.pooled_h; ++ph)
        for (std::int64_t pw = 0; pw < job.grid.pooled_w; ++pw)
          sample_bin(t, ph, pw, bin_output(job, row, ph, pw), job.y_stride_c);
    }
  });
}

template <class T>
void roi_align_separable(const RoiAlignJob<T>& job, PoolBin<T> pool_bin, void* scratch) {
  std::int64_t height = 0, width = 0;
  for (const FeatureMap<T>& map : job.maps) {
    height = std::max(height, map.height);
    width = std::max(width, map.width);
  }
  const std::int64_t tasks = task_count(job.rows);
  const std::size_t bytes = workspace_bytes(job.grid, height, width);
  Scratch parts(scratch);
  const std::span places(parts.take<Place>(job.rows), static_cast<std::size_t>(job.rows));
  auto* memory = parts.take<std::byte>(tasks * static_cast<std::int64_t>(bytes));
  sort_by_place(job, places);
  parallel_for(tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      Scratch part(memory + static_cast<std::size_t>(task) * bytes);
      const Workspace work(part, job.grid, height, width);
      for (std::int64_t i = job.rows * task / tasks; i < job.rows * (task + 1) / tasks; ++i)
        pool_row(job, places[static_cast<std::size_t>(i)].row, pool_bin, work);
    }
  });
}

template void roi_align_separable(const RoiAlignJob<float>&, PoolBin<float>, void*);
template void roi_align_separable(const RoiAlignJob<BFloat16>&, PoolBin<BFloat16>, void*);
template void roi_align_separable(const RoiAlignJob<std::uint8_t>&, PoolBin<std::uint8_t>, void*);
template void roi_align_separable(const RoiAlignJob<std::int8_t>&, PoolBin<std::int8_t>, void*);

std::size_t roi_align_scratch(const RoiGrid& grid, std::int64_t rows, std::int64_t height, std::int64_t width) {
  Scratch scratch;
  scratch.take<Place>(rows);
  scratch.take<std::byte>(
      checked_product(static_cast<std::int64_t>(workspace_bytes(grid, height, width)), task_count(rows)));
  return scratch.bytes();
}

}  // namespace d2deploy
