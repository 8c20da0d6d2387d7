// Convolutions of any window as products of packed matrices, in float32, channels last: a row of A is what one output
// cell sees through one cell of the window, gathered block by block, so that nothing as large as a map is copied. Fully
// connected layers are convolutions of maps of one cell; a transposed convolution is one convolution for each place
// that an output cell may have among the strides.
#pragma once
#include <memory>
#include <vector>

#include "kernels/packed.h"

namespace d2deploy {

/// Filters by their sizes, and the floats from one to the next along each. In all groups the same.
struct FilterView {
  std::int64_t group, out, in, height, width;  ///< out and in: channels of one group
  std::int64_t group_step, out_step, in_step, row_step, column_step;

  std::int64_t cells() const { return height * width; }
};

/// Packed as (group, cell of the window), each of them B of a product. Gives plain ones back exactly.
struct PackedFilters {
  std::shared_ptr<float> data;
  std::size_t bytes;
};
std::size_t packed_filter_bytes(const PackedLoops& loops, const FilterView& view);
PackedFilters pack_filters(const PackedLoops& loops, const FilterView& view, const float* plain);
void unpack_filters(const PackedLoops& loops, const FilterView& view, const PackedFilters& packed, float* plain);

/// A cell of the window: the filters' cell, and what it sees, in cells of X from the place of the output.
struct WindowCell {
  std::int64_t filter, y, x;
};

/// Output cells in even steps, `height` x `width` of them, (i, j) at (first_y + i * step_y, first_x + j * step_x).
/// Their places on X are (i * stride_y, j * stride_x).
struct OutputGrid {
  std::int64_t height, width, first_y, first_x, step_y, step_x, stride_y, stride_x;
  std::vector<WindowCell> cells;
};

struct PackedMaps {
  std::int64_t images;               ///< at most
  std::int64_t in_height, in_width;  ///< cells beyond are zeros
  std::int64_t in_step;              ///< floats from one cell of X to the next
  std::int64_t out_height, out_width;
  FilterView filters;
  /// What a cell of the window sees lies in so many equal runs, `run_step` floats apart; several make up kMostJoined
  /// floats at most.
  std::int64_t runs = 1, run_step = 0;
};
inline constexpr std::int64_t kMostJoined = 512;

/// Rows of A that are made up on the way: what output cells see through one cell of the window.
struct RowsToMake {
  std::int64_t begin, count;  ///< cells of the only grid, all images together
  const WindowCell& cell;
  std::int64_t first_channel, channels;  ///< of X
};
struct RowMaker {
  virtual ~RowMaker() = default;
  /// Writes `count` rows of `channels` floats, one behind the other.
  virtual void make(const RowsToMake& rows, float* to) const = 0;
};

/// How the work of a call is shared out. Results depend neither on the threads nor on the number of images.
class PackedConvolution {
 public:
  /// With `made_rows`, `run` takes the rows from a maker instead of from X.
  PackedConvolution(const PackedLoops& loops, PackedMaps maps, std::vector<OutputGrid> grids, int threads,
                    bool made_rows = false);

  std::size_t scratch_bytes() const;
  void run(const PackedFilters& filters, std::int64_t images, const float* x, const PackedFinish& finish, float* y,
           void* scratch) const {
    run({x, nullptr}, filters, images, finish, y, scratch);
  }
  void run(const PackedFilters& filters, std::int64_t images, const RowMaker& rows, const PackedFinish& finish,
           float* y, void* scratch) const {
    run({nullptr, &rows}, filters, images, finish, y, scratch);
  }

 private:
  struct Place;
  struct Block;
  struct Source {
    const float* x;
    const RowMaker* maker;  ///< null: rows are those of X
  };
  void run(const Source& source, const PackedFilters& filters, std::int64_t images, const PackedFinish& finish,
           float* y, void* scratch) const;
  std::int64_t floats_of_thread() const;
  void place_rows(const OutputGrid& grid, const Block& block, Place* places) const;
  void run_block(const OutputGrid& grid, const float* filters, const Source& source, const Block& block,
                 const PackedFinish& finish, float* y, float* scratch) const;
  const float* join_runs(const float* from, float* to) const;
  void gather(const float* x, const WindowCell& cell, const Place* places, std::int64_t count, std::int64_t first,
              std::int64_t depth, float* a) const;
  void pack_made(const float* made, std::int64_t count, std::int64_t depth, float* a) const;

  const PackedLoops& loops_;
  PackedMaps maps_;
  std::vector<OutputGrid> grids_;
  std::int64_t threads_;
  bool made_rows_;
  std::int64_t depth_;    ///< input channels at a time
  std::int64_t panels_;   ///< of a group
  std::int64_t at_once_;  ///< panels, at most
  std::int64_t rows_;     ///< of a block
};

}  // namespace d2deploy
