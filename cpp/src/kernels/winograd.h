// Convolution of 3x3 cells by Winograd's minimal filtering F(4x4, 3x3), in float32 between inputs and outputs of
// float32 or bfloat16, channels last: 36 products for 16 outputs instead of 144. Tiles are independent of each other:
// an output has the same bits whatever the number of threads and the other images, and what is not finite in a tile's
// 6x6 inputs spoils the tile's 4x4 outputs and no other.
#pragma once
#include <memory>
#include <vector>

#include "kernels/winograd_loops.h"

namespace d2deploy {

/// The best for this CPU.
const WinogradLoops& winograd_loops();

/// Filters made ready: four times as large as plain ones, which they do not give back exactly.
struct WinogradFilters {
  std::shared_ptr<float> data;
  std::int64_t position_step;  ///< floats from one position to the next
  std::size_t bytes;
};
/// Their sizes, without data.
WinogradFilters size_winograd_filters(const WinogradLoops& loops, std::int64_t in_channels, std::int64_t out_channels);
WinogradFilters pack_winograd_filters(const WinogradLoops& loops, const float* filters, std::int64_t in_channels,
                                      std::int64_t out_channels);

/// How the tiles of a call are shared out, which depends on how many there are at most.
class WinogradConvolution {
 public:
  /// `maps` is of `images` images, or fewer in a run; its tiles are not looked at.
  WinogradConvolution(const WinogradLoops& loops, WinogradMaps maps, std::int64_t images, int threads);

  std::size_t scratch_bytes() const;
  void run(const WinogradFilters& filters, std::int64_t images, const void* x, const WinogradFinish& finish, void* y,
           void* scratch) const;

 private:
  struct Blocks;
  Blocks blocks_of(std::int64_t tiles) const;
  std::int64_t row_blocks(std::int64_t tiles) const;
  std::int64_t floats_of_a_thread() const;
  std::int64_t step(std::int64_t tiles) const;
  void clear_rest(const WinogradTiles& inputs, std::int64_t tiles) const;
  void multiply(const WinogradFilters& filters, const WinogradTiles& inputs, const WinogradTiles& products,
                std::int64_t tiles, std::int64_t first, std::int64_t last) const;
  void run_block(const WinogradFilters& filters, std::int64_t first, std::int64_t last, const void* x,
                 const WinogradFinish& finish, void* y, float* scratch) const;
  void run_together(const WinogradFilters& filters, std::int64_t tiles, const void* x, const WinogradFinish& finish,
                    void* y, float* scratch) const;

  const WinogradLoops& loops_;
  const PackedLoops& packed_;
  WinogradMaps maps_;
  std::int64_t tiles_of_image_, most_tiles_, threads_;
  std::int64_t usual_;     ///< tiles in a block
  std::int64_t in_, out_;  ///< channels, padded
  std::vector<float> zeros_;
};

}  // namespace d2deploy
