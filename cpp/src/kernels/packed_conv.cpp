#include "kernels/packed_conv.h"

#include <algorithm>
#include <atomic>

#include "core/memory.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

constexpr std::int64_t kMostRows = 256, kMostDepth = 512, kMostColumns = 512;
// Inputs and sums of a block stay in the second-level cache. Where all filters do, too, fewer rows are better.
constexpr std::int64_t kBlockFloats = std::int64_t{96} << 10, kSmallFilters = std::int64_t{256} << 10;
constexpr std::int64_t kRowsOfSmall = 56;
constexpr std::int64_t kMostRowsOfBlock = 16;  // of A; no instruction set has more
static_assert(kMostJoined <= kMostDepth);

std::int64_t cell_floats(const PackedLoops& loops, const FilterView& v) {
  return panels(loops, v.out) * panel_floats(loops, v.in);
}

// Calls f(plain offset, panel's offset, columns) for each panel of all groups and cells.
template <class F>
void for_each_panel(const PackedLoops& loops, const FilterView& v, const F& f) {
  const std::int64_t in_cell = panels(loops, v.out), count = v.group * v.cells() * in_cell;
  constexpr std::int64_t kGrain = 1 << 14;  // floats
  parallel_for(count, 1 + kGrain / panel_floats(loops, v.in), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t cell = i / in_cell % v.cells(), column = i % in_cell * loops.panel;
      f(i / in_cell / v.cells() * v.group_step + cell / v.width * v.row_step + cell % v.width * v.column_step +
            column * v.out_step,
        i * panel_floats(loops, v.in), std::min(loops.panel, v.out - column));
    }
  });
}

}  // namespace

std::size_t packed_filter_bytes(const PackedLoops& loops, const FilterView& view) {
  return static_cast<std::size_t>(view.group * view.cells() * cell_floats(loops, view)) * sizeof(float);
}

PackedFilters pack_filters(const PackedLoops& loops, const FilterView& view, const float* plain) {
  PackedFilters packed{nullptr, packed_filter_bytes(loops, view)};
  packed.data = std::static_pointer_cast<float>(allocate(packed.bytes));
  for_each_panel(loops, view, [&](std::int64_t from, std::int64_t to, std::int64_t columns) {
    loops.pack_panel(plain + from, view.in_step, view.out_step, view.in, columns, packed.data.get() + to);
  });
  return packed;
}

void unpack_filters(const PackedLoops& loops, const FilterView& view, const PackedFilters& packed, float* plain) {
  for_each_panel(loops, view, [&](std::int64_t to, std::int64_t from, std::int64_t columns) {
    for (std::int64_t k = 0; k < view.in; ++k)
      for (std::int64_t j = 0; j < columns; ++j)
        plain[to + k * view.in_step + j * view.out_step] = packed.data.get()[from + k * loops.panel + j];
  });
}

// What a row of A and C stands for.
struct PackedConvolution::Place {
  std::int64_t image, y, x;  // of X: floats, and the cell
  std::int64_t out;          // floats of Y
};

// Output cells [begin, end) of a grid, all images together, and panels [first, last) of a group.
struct PackedConvolution::Block {
  std::int64_t begin, end, group, first, last;
};

PackedConvolution::PackedConvolution(const PackedLoops& loops, PackedMaps maps, std::vector<OutputGrid> grids,
                                     int threads, bool made_rows)
    : loops_(loops), maps_(maps), grids_(std::move(grids)), threads_(std::max(threads, 1)), made_rows_(made_rows) {
  const FilterView& v = maps_.filters;
  depth_ = std::min(kMostDepth, round_up(v.in, loops.width));
  panels_ = panels(loops, v.out);
  at_once_ = std::min(panels_, kMostColumns / loops.panel);
  const std::int64_t fitting = kBlockFloats / (depth_ + at_once_ * loops.panel);
  const bool small = v.cells() * cell_floats(loops, v) <= kSmallFilters;
  rows_ = std::clamp(std::min(fitting, small ? kRowsOfSmall : kMostRows) / loops.rows * loops.rows, loops.rows,
                     kMostRows / loops.rows * loops.rows);
}

std::int64_t PackedConvolution::floats_of_thread() const {
  return rows_ * ((made_rows_ ? 2 : 1) * depth_ + at_once_ * loops_.panel);
}

std::size_t PackedConvolution::scratch_bytes() const {
  return static_cast<std::size_t>(threads_ * floats_of_thread()) * sizeof(float);
}

void PackedConvolution::place_rows(const OutputGrid& grid, const Block& block, Place* places) const {
  const FilterView& v = maps_.filters;
  std::int64_t image = block.begin / (grid.height * grid.width), i = block.begin / grid.width % grid.height,
               j = block.begin % grid.width;
  for (std::int64_t r = block.begin; r < block.end; ++r) {
    const std::int64_t oy = grid.first_y + i * grid.step_y, ox = grid.first_x + j * grid.step_x;
    places[r - block.begin] = {image * maps_.in_height * maps_.in_width * maps_.in_step + block.group * v.in,
                               i * grid.stride_y, j * grid.stride_x,
                               ((image * maps_.out_height + oy) * maps_.out_width + ox) * v.group * v.out +
                                   block.group * v.out + block.first * loops_.panel};
    if (++j < grid.width) continue;
    j = 0;
    if (++i < grid.height) continue;
    i = 0;
    ++image;
  }
}

const float* PackedConvolution::join_runs(const float* from, float* to) const {
  const std::int64_t run = maps_.filters.in / maps_.runs;
  for (std::int64_t i = 0; i < maps_.runs; ++i)
    for (std::int64_t k = 0; k < run; ++k) to[i * run + k] = from[i * maps_.run_step + k];
  return to;
}

void PackedConvolution::gather(const float* x, const WindowCell& cell, const Place* places, std::int64_t count,
                               std::int64_t first, std::int64_t depth, float* a) const {
  const float* rows[kMostRows] = {};
  for (std::int64_t r = 0; r < count; ++r) {
    const std::int64_t y = places[r].y + cell.y, at = places[r].x + cell.x;
    const bool inside = y >= 0 && y < maps_.in_height && at >= 0 && at < maps_.in_width;
    rows[r] = inside ? x + places[r].image + (y * maps_.in_width + at) * maps_.in_step + first : nullptr;
  }
  float joined[kMostRowsOfBlock][kMostJoined];
  for (std::int64_t r = 0; r < count; r += loops_.rows, a += row_block_floats(loops_, depth)) {
    for (std::int64_t i = 0; i < loops_.rows && maps_.runs > 1; ++i)
      if (rows[r + i] != nullptr) rows[r + i] = join_runs(rows[r + i], joined[i]);
    loops_.pack_rows(rows + r, depth, a);
  }
}

void PackedConvolution::pack_made(const float* made, std::int64_t count, std::int64_t depth, float* a) const {
  for (std::int64_t r = 0; r < count; r += loops_.rows, a += row_block_floats(loops_, depth)) {
    const float* rows[kMostRowsOfBlock] = {};
    for (std::int64_t i = 0; i < std::min(loops_.rows, count - r); ++i) rows[i] = made + (r + i) * depth;
    loops_.pack_rows(rows, depth, a);
  }
}

void PackedConvolution::run_block(const OutputGrid& grid, const float* filters, const Source& source,
                                  const Block& block, const PackedFinish& finish, float* y, float* scratch) const {
  const FilterView& v = maps_.filters;
  Place places[kMostRows];
  place_rows(grid, block, places);
  const std::int64_t count = block.end - block.begin, row_blocks = divide_up(count, loops_.rows);
  const std::int64_t panel_step = panel_floats(loops_, v.in), columns = (block.last - block.first) * loops_.panel;
  const std::int64_t c_step = row_block_floats(loops_, columns), cell_step = cell_floats(loops_, v);
  float *const a = scratch, *const c = a + rows_ * depth_, *const made = c + rows_ * at_once_ * loops_.panel;
  if (grid.cells.empty()) std::fill_n(c, row_blocks * c_step, 0.0F);
  const float* const b = filters + block.group * v.cells() * cell_step + block.first * panel_step;
  for (const WindowCell& cell : grid.cells)
    for (std::int64_t k = 0; k < v.in; k += depth_) {
      const std::int64_t depth = std::min(depth_, v.in - k), padded = round_up(depth, loops_.width);
      if (source.maker == nullptr) {
        gather(source.x, cell, places, count, k, depth, a);
      } else {
        source.maker->make({block.begin, count, cell, block.group * v.in + k, depth}, made);
        pack_made(made, count, depth, a);
      }
      loops_.multiply({.a = a,
                       .a_step = row_block_floats(loops_, depth),
                       .row_blocks = row_blocks,
                       .depth = padded,
                       .b = b + cell.filter * cell_step + k * loops_.panel,
                       .b_step = panel_step,
                       .first = 0,
                       .last = block.last - block.first,
                       .c = c,
                       .c_step = c_step,
                       .accumulate = &cell != grid.cells.data() || k > 0,
                       .next = nullptr,
                       .next_floats = 0});
    }
  const std::int64_t column = block.first * loops_.panel, channels = std::min(columns, v.out - column);
  PackedFinish part = finish;
  if (part.bias != nullptr) part.bias += block.group * v.out + column;
  for (std::int64_t r = 0; r < count; ++r)
    loops_.finish_row(c + r / loops_.rows * c_step, r % loops_.rows, channels, part, places[r].out, y);
}

void PackedConvolution::run(const Source& source, const PackedFilters& filters, std::int64_t images,
                            const PackedFinish& finish, float* y, void* scratch) const {
  const std::int64_t each = floats_of_thread();
  for (const OutputGrid& grid : grids_) {
    const std::int64_t total = images * grid.height * grid.width, most = divide_up(total, rows_);
    if (total == 0) continue;
    // Few rows: the threads share the columns.
    const std::int64_t parts =
        std::min(panels_, std::max(divide_up(panels_, at_once_), divide_up(2 * threads_, most * maps_.filters.group)));
    const std::int64_t across = maps_.filters.group * parts, row_blocks = divide_up(total, loops_.rows);
    const auto start = [&](std::int64_t b) { return std::min(total, row_blocks * b / most * loops_.rows); };
    // Whoever is done takes the next block: a thread that others keep from running holds up no more than its own.
    std::atomic<std::int64_t> next{0};
    parallel_for(threads_, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t worker = begin; worker < end; ++worker)
        for (std::int64_t i = next++; i < most * across; i = next++) {
          const std::int64_t b = i / across, part = i % parts;
          const Block block{start(b), start(b + 1), i % across / parts, panels_ * part / parts,
                            panels_ * (part + 1) / parts};
          run_block(grid, filters.data.get(), source, block, finish, y, static_cast<float*>(scratch) + worker * each);
        }
    });
  }
}

}  // namespace d2deploy
