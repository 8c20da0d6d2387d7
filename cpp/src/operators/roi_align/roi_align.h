#pragma once
#include "kernels/roi_align.h"
#include "operators/operator.h"

namespace d2deploy {

/// Features of each RoI, resampled to pooled_h x pooled_w bins; a bin is the mean of bilinear samples.
/// Differs from Caffe2 where that gives NaN, is undefined or ends the process: a RoI of size zero with
/// sampling_ratio <= 0, of a negative size with aligned=1, or with coordinates that are not finite gets zeros; an image
/// index that is out of range is an error.
struct RoIAlign {
  struct Params {
    std::string order = "NCHW";
    float spatial_scale = 1;
    std::int64_t pooled_h = 1, pooled_w = 1;
    std::int64_t sampling_ratio = -1;
    bool aligned = false;

    RoiGrid grid() const { return {pooled_h, pooled_w, sampling_ratio, aligned}; }
  };
  static constexpr auto fields = std::array{
      field<&Params::order>("order", Bound::any, "logical order of dimensions: NCHW"),
      field<&Params::spatial_scale>("spatial_scale", Bound::positive, "feature map cells per image pixel"),
      field<&Params::pooled_h>("pooled_h", Bound::positive, "output height, in bins, at most 1024"),
      field<&Params::pooled_w>("pooled_w", Bound::positive, "output width, in bins, at most 1024"),
      field<&Params::sampling_ratio>("sampling_ratio", Bound::any,
                                     "samples per bin and axis, at most 1024; <= 0: one per started cell"),
      field<&Params::aligned>("aligned", Bound::any, "shift coordinates by half a cell; 0: do not, least size 1 cell"),
  };
  static constexpr Signature signature{
      "RoIAlign", "X: real (N, C, H, W) | rois: float32 (R, 4|5) [image,] x1, y1, x2, y2 in image pixels",
      "Y: real (R, C, pooled_h, pooled_w)", LayoutRule::any, keeps_range};

  static void check_params(const char* type, const std::string& order, const RoiGrid& grid) {
    // Bounds on the work and the scratch memory that an argument can ask for, even where there are no channels.
    constexpr std::int64_t kMostSamples = 1024, kMostBins = 1024;
    check<Unsupported>(order == "NCHW", type, ": order must be NCHW, got ", order);
    check<Unsupported>(grid.sampling_ratio <= kMostSamples, type, ": sampling_ratio must be at most ", kMostSamples,
                       ", got ", grid.sampling_ratio);
    check<Unsupported>(grid.pooled_h <= kMostBins && grid.pooled_w <= kMostBins, type,
                       ": pooled_h and pooled_w must be at most ", kMostBins, ", got ", grid.pooled_h, " and ",
                       grid.pooled_w);
  }
  static Types infer(const Params& p, const Inputs& in) {
    check_params(signature.type, p.order, p.grid());
    return {f32({in[1][0], in[0][1], p.pooled_h, p.pooled_w})};
  }
};

}  // namespace d2deploy
