#include "kernels/winograd.h"

#include <algorithm>
#include <atomic>

#include "core/memory.h"
#include "core/threads.h"
#include "kernels/instruction_sets.h"

namespace d2deploy {

namespace {

// All positions would fall into the same sets of the cache if their distance were a power of two: one line more.
constexpr std::int64_t kCacheLine = 16;

// Tiles that all threads work on together are at most as many as this number of threads would take in blocks of
// their own: beyond, the transformed tiles are far away.
constexpr std::int64_t kMostBlocksTogether = 4;

// Tiles in one image of these maps; sets tile_rows and tile_columns.
std::int64_t cut_into_tiles(WinogradMaps& maps) {
  maps.tile_rows = divide_up(maps.out_height, kWinogradOut);
  maps.tile_columns = divide_up(maps.out_width, kWinogradOut);
  return maps.tile_rows * maps.tile_columns;
}

}  // namespace

const WinogradLoops& winograd_loops() {
#if defined(__x86_64__)
  if (has_avx512()) return winograd_avx512();
  if (has_avx2()) return winograd_avx2();
#endif
  return winograd_baseline();
}

WinogradFilters size_winograd_filters(const WinogradLoops& loops, std::int64_t in_channels, std::int64_t out_channels) {
  const PackedLoops& packed = loops.packed();
  WinogradFilters made{};
  made.position_step = panels(packed, out_channels) * panel_floats(packed, in_channels) + kCacheLine;
  made.bytes = static_cast<std::size_t>(kWinogradPositions * made.position_step) * sizeof(float);
  return made;
}

WinogradFilters pack_winograd_filters(const WinogradLoops& loops, const float* filters, std::int64_t in_channels,
                                      std::int64_t out_channels) {
  const PackedLoops& packed = loops.packed();
  const std::int64_t depth = round_up(in_channels, packed.width), panel_count = panels(packed, out_channels);
  WinogradFilters made = size_winograd_filters(loops, in_channels, out_channels);
  const auto memory = allocate(made.bytes);
  made.data = {memory, static_cast<float*>(memory.get())};
  const std::int64_t pieces = depth / packed.width;
  parallel_for(panel_count * pieces, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      loops.transform_filters(filters, in_channels, out_channels, i / pieces, i % pieces * packed.width,
                              (i % pieces + 1) * packed.width, made.data.get(), made.position_step);
  });
  return made;
}

// Either all threads share the work on `tiles`, or each takes one of `count` blocks after the other.
struct WinogradConvolution::Blocks {
  bool together;
  std::int64_t count;
};

WinogradConvolution::WinogradConvolution(const WinogradLoops& loops, WinogradMaps maps, std::int64_t images,
                                         int threads)
    : loops_(loops),
      packed_(loops.packed()),
      maps_(maps),
      tiles_of_image_(cut_into_tiles(maps_)),
      most_tiles_(images * tiles_of_image_),
      threads_(std::max(threads, 1)),
      in_(round_up(maps.in_channels, packed_.width)),
      out_(panels(packed_, maps.out_channels) * packed_.panel),
      zeros_(static_cast<std::size_t>(maps.in_channels)) {
  // Few enough that inputs and products stay in the cache, enough that filters, read once for each block, are worth
  // the way.
  constexpr std::int64_t kPiece = 14, kChannels = 64, kFewest = 2, kMost = 6;
  usual_ = round_up(std::clamp(maps.in_channels / kChannels, kFewest, kMost) * kPiece, packed_.rows);
}

std::int64_t WinogradConvolution::row_blocks(std::int64_t tiles) const { return divide_up(tiles, packed_.rows); }

std::int64_t WinogradConvolution::step(std::int64_t tiles) const {
  return row_blocks(tiles) * packed_.rows * std::max(in_, out_) + kCacheLine;
}

WinogradConvolution::Blocks WinogradConvolution::blocks_of(std::int64_t tiles) const {
  if (threads_ > 1 && tiles < std::min(threads_, kMostBlocksTogether) * usual_) return {true, 1};
  // A last block of less than a quarter is spread over the others; all threads get equally many.
  const std::int64_t blocks = std::max<std::int64_t>(1, divide_up(tiles - usual_ / 4, usual_));
  return {false, std::min(row_blocks(tiles), round_up(blocks, threads_))};
}

std::int64_t WinogradConvolution::floats_of_a_thread() const {
  // What blocks_of makes of any number of tiles: the spread, and row blocks for rounding.
  const std::int64_t tiles = std::min(most_tiles_, usual_ + usual_ / 4 + 2 * packed_.rows);
  return (kWinogradPositions + 1) * step(tiles);
}

std::size_t WinogradConvolution::scratch_bytes() const {
  std::int64_t floats = threads_ * floats_of_a_thread();
  const std::int64_t together = std::min(most_tiles_, std::min(threads_, kMostBlocksTogether) * usual_);
  if (threads_ > 1) floats = std::max(floats, 2 * kWinogradPositions * step(together));
  return static_cast<std::size_t>(floats) * sizeof(float);
}

// Rows behind the last tile are multiplied too. They touch no other, but what lies there may be slow numbers.
void WinogradConvolution::clear_rest(const WinogradTiles& inputs, std::int64_t tiles) const {
  for (std::int64_t row = tiles; row < row_blocks(tiles) * packed_.rows; ++row)
    for (std::int64_t position = 0; position < kWinogradPositions; ++position)
      for (std::int64_t c = 0; c < in_; c += packed_.width)
        std::fill_n(inputs.data + position * inputs.step + row / packed_.rows * packed_.rows * in_ + c * packed_.rows +
                        row % packed_.rows * packed_.width,
                    packed_.width, 0.0F);
}

// Items [first, last) of positions x panels.
void WinogradConvolution::multiply(const WinogradFilters& filters, const WinogradTiles& inputs,
                                   const WinogradTiles& products, std::int64_t tiles, std::int64_t first,
                                   std::int64_t last) const {
  const std::int64_t panel_count = out_ / packed_.panel, blocks = row_blocks(tiles);
  for (std::int64_t i = first; i < last;) {
    const std::int64_t position = i / panel_count, panel = i % panel_count;
    const std::int64_t stop = std::min(panel_count, panel + last - i);
    const std::int64_t after = std::min<std::int64_t>(position + 1, kWinogradPositions - 1);
    packed_.multiply({.a = inputs.data + position * inputs.step,
                      .a_step = in_ * packed_.rows,
                      .row_blocks = blocks,
                      .depth = in_,
                      .b = filters.data.get() + position * filters.position_step,
                      .b_step = in_ * packed_.panel,
                      .first = panel,
                      .last = stop,
                      .c = products.data + position * products.step,
                      .c_step = out_ * packed_.rows,
                      .accumulate = false,
                      .next = inputs.data + after * inputs.step,
                      .next_floats = blocks * packed_.rows * in_});
    i += stop - panel;
  }
}

void WinogradConvolution::run_block(const WinogradFilters& filters, std::int64_t first, std::int64_t last,
                                    const void* x, const WinogradFinish& finish, void* y, float* scratch) const {
  const std::int64_t tiles = last - first, between = step(tiles);
  // The products of a position lie where the inputs of the one before it were, which are still in the cache.
  const WinogradTiles products{scratch, between, out_}, inputs{scratch + between, between, in_};
  loops_.transform_inputs(maps_, x, zeros_.data(), first, last, first, inputs);
  clear_rest(inputs, tiles);
  multiply(filters, inputs, products, tiles, 0, kWinogradPositions * out_ / packed_.panel);
  loops_.transform_outputs(maps_, products, first, last, first, finish, y);
}

void WinogradConvolution::run_together(const WinogradFilters& filters, std::int64_t tiles, const void* x,
                                       const WinogradFinish& finish, void* y, float* scratch) const {
  const std::int64_t between = step(tiles);
  const WinogradTiles products{scratch, between, out_}, inputs{scratch + kWinogradPositions * between, between, in_};
  parallel_for(tiles, 1, [&](std::int64_t begin, std::int64_t end) {
    loops_.transform_inputs(maps_, x, zeros_.data(), begin, end, 0, inputs);
  });
  clear_rest(inputs, tiles);
  parallel_for(kWinogradPositions * out_ / packed_.panel, 1,
               [&](std::int64_t begin, std::int64_t end) { multiply(filters, inputs, products, tiles, begin, end); });
  parallel_for(tiles, 1, [&](std::int64_t begin, std::int64_t end) {
    loops_.transform_outputs(maps_, products, begin, end, 0, finish, y);
  });
}

void WinogradConvolution::run(const WinogradFilters& filters, std::int64_t images, const void* x,
                              const WinogradFinish& finish, void* y, void* scratch) const {
  const std::int64_t tiles = images * tiles_of_image_;
  if (tiles == 0) return;
  auto* const memory = static_cast<float*>(scratch);
  const Blocks blocks = blocks_of(tiles);
  if (blocks.together) return run_together(filters, tiles, x, finish, y, memory);
  const std::int64_t all = row_blocks(tiles), each = floats_of_a_thread();
  const auto start = [&](std::int64_t b) { return std::min(tiles, all * b / blocks.count * packed_.rows); };
  // Whoever is done takes the next block: a thread that others keep from running holds up no more than its own.
  std::atomic<std::int64_t> next{0};
  parallel_for(threads_, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t worker = begin; worker < end; ++worker)
      for (std::int64_t b = next++; b < blocks.count; b = next++)
        run_block(filters, start(b), start(b + 1), x, finish, y, memory + worker * each);
  });
}

}  // namespace d2deploy
