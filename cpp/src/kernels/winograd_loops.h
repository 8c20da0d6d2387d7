// The transforms of Winograd's convolution, compiled for one instruction set: plain data and plain declarations only.
#pragma once
#include "kernels/packed.h"

namespace d2deploy {

constexpr int kWinogradOut = 4;                                ///< cells of the output on each side of a tile
constexpr int kWinogradIn = kWinogradOut + 3 - 1;              ///< cells of the input that they see
constexpr int kWinogradPositions = kWinogradIn * kWinogradIn;  ///< products of each tile and pair of channels

/// A channels-last convolution of 3x3 cells, and how its outputs fall into tiles: row by row, image by image.
struct WinogradMaps {
  std::int64_t in_channels, in_height, in_width;
  std::int64_t out_channels, out_height, out_width;
  std::int64_t pad_t, pad_l;
  std::int64_t tile_rows = 0, tile_columns = 0;  ///< of one image; WinogradConvolution sets them
  bool x_bfloat16 = false, y_bfloat16 = false;   ///< else float; what is between them is float
};

/// What follows the sums.
struct WinogradFinish {
  const float* bias;   ///< or null
  const void* addend;  ///< of the type of y, at the same places, maybe the same memory; or null
  bool relu;
};

/// Transformed tiles: a packed matrix for each of the positions, with tiles as rows.
struct WinogradTiles {
  float* data;
  std::int64_t step;     ///< floats from one position to the next
  std::int64_t columns;  ///< floats of a row: channels, padded
};

struct WinogradLoops {
  const PackedLoops& (*packed)();  ///< of the same instruction set

  /// Filters (out_channels, in_channels, 3, 3) into rows [first, last) of panel `panel` of each position's B; those
  /// behind the last channel become zeros.
  void (*transform_filters)(const float* filters, std::int64_t in_channels, std::int64_t out_channels,
                            std::int64_t panel, std::int64_t first, std::int64_t last, float* packed,
                            std::int64_t position_step);
  /// Tiles [first, last) of x, of which `origin` is row 0 of the matrices. `zeros`: in_channels of them.
  void (*transform_inputs)(const WinogradMaps& maps, const void* x, const void* zeros, std::int64_t first,
                           std::int64_t last, std::int64_t origin, const WinogradTiles& tiles);
  /// Tiles [first, last) of products into y.
  void (*transform_outputs)(const WinogradMaps& maps, const WinogradTiles& tiles, std::int64_t first, std::int64_t last,
                            std::int64_t origin, const WinogradFinish& finish, void* y);
};

/// For every CPU of the kind, and for those that have has_avx2() and has_avx512().
const WinogradLoops& winograd_baseline();
const WinogradLoops& winograd_avx2();
const WinogradLoops& winograd_avx512();

}  // namespace d2deploy
