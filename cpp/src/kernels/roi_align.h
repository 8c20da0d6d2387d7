// RoIAlign from one feature map or from a pyramid of them (He et al., Mask R-CNN).
//
// Each RoI is cut into pooled_h x pooled_w bins. A bin is the mean of grid_h x grid_w bilinear samples, which
// count as 0 further than one cell outside of the map. Both the samples' weights and whether they count are
// products of one factor per axis, so a bin is also one weighted sum over a rectangle of cells, each read once:
//   y[bin] = sum over cells (r, c) of row_weight[r] * column_weight[c] * x[r, c].
// The "direct" loop samples, the "separable" one sums. They differ by rounding alone.
#pragma once
#include <cstdint>
#include <span>

#include "kernels/fpn_levels.h"
#include "kernels/pool_bin.h"
#include "kernels/roi_axis.h"

namespace d2deploy {

struct RoiAlignJob {
  const char* op;  ///< for messages
  RoiGrid grid;
  std::span<const FeatureMap> maps;  ///< one per level
  FpnLevels levels;                  ///< picks the level where there are several
  const float* rois;                 ///< rows of [image,] x1, y1, x2, y2 in image pixels
  std::int64_t rows, columns;
  void* y;  ///< (rows, channels, pooled_h, pooled_w), of the maps' element type; strides in elements
  std::int64_t y_stride_n, y_stride_c, y_stride_h, y_stride_w;
};

/// The direct one takes maps of floats. Both throw InvalidArgument, with the row, where an image index is out of range.
/// RoIs of size zero, of a negative one if aligned, or with coordinates that are not finite get zeros, and samples
/// beyond the map cost nothing.
void roi_align_direct(const RoiAlignJob& job);
void roi_align_separable(const RoiAlignJob& job, PoolBin pool_bin, void* scratch);

/// Bytes that `roi_align_separable` wants for maps up to this size.
std::size_t roi_align_scratch(const RoiGrid& grid, std::int64_t rows, std::int64_t height, std::int64_t width);

}  // namespace d2deploy
