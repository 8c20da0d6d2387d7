#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Sorts RoIs by the level of the feature pyramid that fits their size: one output per level, finest first, each in
/// the order of rois, then `rois_idx_restore`: roi i is row rois_idx_restore[i] of all levels one after the other.
/// The level is floor(roi_canonical_level + log2(sqrt(area) / roi_canonical_scale)), within the limits. Where the area
/// is negative or NaN, an error in Caffe2, it is the finest one.
struct DistributeFpnProposals {
  struct Params {
    std::int64_t roi_canonical_scale = 224, roi_canonical_level = 4;
    std::int64_t roi_max_level = 5, roi_min_level = 2;
    bool legacy_plus_one = true;
  };
  static constexpr auto fields = std::array{
      field<&Params::roi_canonical_scale>("roi_canonical_scale", Bound::positive,
                                          "side, in pixels, of a square box that belongs to roi_canonical_level"),
      field<&Params::roi_canonical_level>("roi_canonical_level", Bound::any, "level of such a box"),
      field<&Params::roi_max_level>("roi_max_level", Bound::any, "coarsest level"),
      field<&Params::roi_min_level>("roi_min_level", Bound::any, "finest level"),
      field<&Params::legacy_plus_one>("legacy_plus_one", Bound::any, "boxes include their end"),
  };
  static constexpr Signature signature{
      "DistributeFpnProposals", "rois: float32 (R, 4|5) [image,] x1, y1, x2, y2 in image pixels",
      "rois_level*: float32 (~n, 5) image, x1, y1, x2, y2 | rois_idx_restore: int32 (R)"};

  /// Throws InvalidArgument unless there are the outputs that levels want.
  static void check_outputs(const Params& p, std::size_t count) {
    const auto levels = static_cast<std::size_t>(p.roi_max_level - p.roi_min_level + 1);
    check(count == levels + 1, signature.type, ": got ", count, " outputs, wanted one for each of ", levels,
          " levels and rois_idx_restore");
  }
  static Types infer(const Params& p, const Inputs& in) {
    constexpr std::int64_t kMostLevels = 16;
    const std::int64_t levels = p.roi_max_level - p.roi_min_level + 1;
    check<InvalidModel>(levels >= 1 && levels <= kMostLevels, signature.type, ": levels ", p.roi_min_level, " to ",
                        p.roi_max_level, " must be 1 to ", kMostLevels, " levels");
    Types types(static_cast<std::size_t>(levels), f32({in[0][0], 5}));  // all RoIs may fall on one level
    types.push_back(i32({in[0][0]}));
    return types;
  }
};

}  // namespace d2deploy
