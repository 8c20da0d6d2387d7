#include "kernels/group_norm.h"

#include <algorithm>
#include <cmath>

#include "core/threads.h"
#include "kernels/column_sums.h"
#include "kernels/scratch.h"

namespace d2deploy {

namespace {

// In float64 the squares of float32 values are exact, so that variance = E[x^2] - E[x]^2 keeps enough digits unless
// the mean is some 10^5 standard deviations away from 0.
struct Sums {
  double sum = 0, squares = 0;
};

// Channels last, an image is summed in blocks of cells: they fit into the cache, and threads share one image.
constexpr std::int64_t kBlock = 128;
constexpr std::int64_t kTile = 32;  // the most channels that are summed side by side

std::int64_t block_count(const Maps& maps) { return maps.channels_last ? (maps.cells + kBlock - 1) / kBlock : 1; }

struct Work {
  Sums* sums;            // (N, blocks, G)
  float *scale, *shift;  // (N, C)

  Work(Scratch& scratch, const Maps& maps, std::int64_t groups)
      : sums(scratch.take<Sums>(maps.images * block_count(maps) * groups)),
        scale(scratch.take<float>(maps.images * maps.channels)),
        shift(scratch.take<float>(maps.images * maps.channels)) {}
};

template <class T>
Sums sum_run(const T* x, std::int64_t n) {
  double sum[4] = {}, squares[4] = {};
  const auto add = [&](std::int64_t i, std::int64_t lane) {
    const auto v = static_cast<double>(static_cast<float>(x[i]));
    sum[lane] += v;
    squares[lane] += v * v;
  };
  std::int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (std::int64_t lane = 0; lane < 4; ++lane) add(i + lane, lane);
  for (; i < n; ++i) add(i, 0);
  return {(sum[0] + sum[1]) + (sum[2] + sum[3]), (squares[0] + squares[1]) + (squares[2] + squares[3])};
}

// What ColumnSums makes, of at most kTile columns.
template <class T>
void sum_few_columns(const T* x, std::int64_t rows, std::int64_t step, std::int64_t columns, double* sums,
                     double* squares) {
  std::fill_n(sums, columns, 0.0);
  std::fill_n(squares, columns, 0.0);
  const auto add = [&](const T* row, std::int64_t count) {
    for (std::int64_t c = 0; c < count; ++c) {
      const auto v = static_cast<double>(static_cast<float>(row[c]));
      sums[c] += v;
      squares[c] += v * v;
    }
  };
  for (std::int64_t r = 0; r < rows; ++r) columns == kTile ? add(x + r * step, kTile) : add(x + r * step, columns);
}

void sum_columns(const ColumnSums& fast, const float* x, std::int64_t rows, std::int64_t step, double* sums,
                 double* squares) {
  fast.f32(x, rows, step, sums, squares);
}
void sum_columns(const ColumnSums& fast, const BFloat16* x, std::int64_t rows, std::int64_t step, double* sums,
                 double* squares) {
  fast.bf16(x, rows, step, sums, squares);
}

// Adds a block of cells to the sums of its groups, each of `per_group` channels.
template <class T>
void sum_cells(const ColumnSums& fast, const T* x, std::int64_t cells, std::int64_t channels, std::int64_t per_group,
               Sums* groups) {
  const std::int64_t most = fast.columns == 0 ? kTile : fast.columns;
  for (std::int64_t first = 0; first < channels; first += most) {
    const std::int64_t n = std::min(most, channels - first);
    double sum[kTile], squares[kTile];
    if (n == fast.columns)
      sum_columns(fast, x + first, cells, channels, sum, squares);
    else
      sum_few_columns(x + first, cells, channels, n, sum, squares);
    for (std::int64_t c = 0; c < n; ++c) {
      Sums& group = groups[(first + c) / per_group];
      group.sum += sum[c];
      group.squares += squares[c];
    }
  }
}

template <class T>
void sum_groups(const GroupNormTask<T>& task, const Work& work) {
  const Maps& maps = task.maps;
  const std::int64_t per_group = maps.channels / task.groups;
  if (!maps.channels_last) {
    const std::int64_t length = per_group * maps.cells;
    parallel_for(maps.images * task.groups, 1 + (1 << 15) / (1 + length), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) work.sums[i] = sum_run(task.x + i * length, length);
    });
    return;
  }
  const std::int64_t blocks = block_count(maps);
  const ColumnSums fast = column_sums();
  parallel_for(maps.images * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = i % blocks * kBlock, cells = std::min(kBlock, maps.cells - first);
      Sums* groups = work.sums + i * task.groups;
      std::fill_n(groups, task.groups, Sums{});
      sum_cells(fast, task.x + (i / blocks * maps.cells + first) * maps.channels, cells, maps.channels, per_group,
                groups);
    }
  });
}

// scale = gamma inv_std, shift = beta - mean scale, for one group of one image.
template <class T>
void set_scales(const GroupNormTask<T>& task, const Work& work, std::int64_t image, std::int64_t group) {
  const std::int64_t per_group = task.maps.channels / task.groups, blocks = block_count(task.maps);
  Sums total;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const Sums& part = work.sums[(image * blocks + b) * task.groups + group];
    total.sum += part.sum;
    total.squares += part.squares;
  }
  const auto count = static_cast<double>(per_group * task.maps.cells);
  const double mean = total.sum / count, variance = std::max(total.squares / count - mean * mean, 0.0);
  const double inv_std = 1.0 / std::sqrt(variance + static_cast<double>(task.epsilon));
  for (std::int64_t c = group * per_group; c < (group + 1) * per_group; ++c) {
    const double scale = static_cast<double>(task.gamma[c]) * inv_std;
    work.scale[image * task.maps.channels + c] = static_cast<float>(scale);
    work.shift[image * task.maps.channels + c] = static_cast<float>(static_cast<double>(task.beta[c]) - mean * scale);
  }
  if (task.mean != nullptr) task.mean[image * task.groups + group] = static_cast<float>(mean);
  if (task.inv_std != nullptr) task.inv_std[image * task.groups + group] = static_cast<float>(inv_std);
}

}  // namespace

std::size_t group_norm_scratch_bytes(const Maps& maps, std::int64_t groups) {
  Scratch scratch;
  (void)Work(scratch, maps, groups);
  return scratch.bytes();
}

template <class T>
void group_norm(const GroupNormTask<T>& task, void* scratch) {
  if (task.groups == 0) return;  // as many as channels, and there are none
  Scratch arrays(scratch);
  const Work work(arrays, task.maps, task.groups);
  sum_groups(task, work);
  for (std::int64_t i = 0; i < task.maps.images * task.groups; ++i)
    set_scales(task, work, i / task.groups, i % task.groups);
  scale_shift(task.maps, {work.scale, work.shift, task.maps.channels, task.relu}, task.x, task.y);
}
template void group_norm(const GroupNormTask<float>&, void*);
template void group_norm(const GroupNormTask<BFloat16>&, void*);

}  // namespace d2deploy
