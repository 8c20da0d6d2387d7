#pragma once
#include "operators/roi_align/roi_align.h"

namespace d2deploy {

/// RoIAlign from the level of a feature pyramid that fits the size of each RoI; the rows stay in the order of rois.
/// Internal: made by a pass, never written to a file.
struct PyramidRoIAlign {
  struct Params {
    std::int64_t roi_canonical_scale = 224, roi_canonical_level = 4;
    std::int64_t roi_max_level = 5, roi_min_level = 2;
    bool legacy_plus_one = true;
    std::string order = "NCHW";
    Floats spatial_scales;
    std::int64_t pooled_h = 1, pooled_w = 1;
    std::int64_t sampling_ratio = -1;
    bool aligned = false;

    RoiGrid grid() const { return {pooled_h, pooled_w, sampling_ratio, aligned}; }
  };
  static constexpr auto fields = std::array{
      field<&Params::roi_canonical_scale>("roi_canonical_scale", Bound::positive,
                                          "side, in pixels, of a square box that belongs to roi_canonical_level"),
      field<&Params::roi_canonical_level>("roi_canonical_level", Bound::any, "level of such a box"),
      field<&Params::roi_max_level>("roi_max_level", Bound::any, "coarsest level"),
      field<&Params::roi_min_level>("roi_min_level", Bound::any, "finest level, that of X_0"),
      field<&Params::legacy_plus_one>("legacy_plus_one", Bound::any, "boxes include their end"),
      field<&Params::order>("order", Bound::any, "logical order of dimensions: NCHW"),
      field<&Params::spatial_scales>("spatial_scales", Bound::positive, "per level, feature map cells per image pixel"),
      field<&Params::pooled_h>("pooled_h", Bound::positive, "output height, in bins"),
      field<&Params::pooled_w>("pooled_w", Bound::positive, "output width, in bins"),
      field<&Params::sampling_ratio>("sampling_ratio", Bound::any,
                                     "samples per bin and axis, at most 1024; <= 0: one per started cell"),
      field<&Params::aligned>("aligned", Bound::any, "shift coordinates by half a cell; 0: do not, least size 1 cell"),
  };
  static constexpr Signature signature{
      "PyramidRoIAlign",
      "rois: float32 (R, 4|5) [image,] x1, y1, x2, y2 in image pixels | X*: real any (N, C, H, W) of each level",
      "Y: real (R, C, pooled_h, pooled_w)", LayoutRule::any, keeps_range};

  static Types infer(const Params& p, const Inputs& in) {
    RoIAlign::check_params(signature.type, p.order, p.grid());
    const auto levels = static_cast<std::int64_t>(in.size()) - 1;
    check<InvalidModel>(
        levels == p.roi_max_level - p.roi_min_level + 1 && levels == static_cast<std::int64_t>(p.spatial_scales.size()),
        signature.type, ": got ", levels, " feature maps for levels ", p.roi_min_level, " to ", p.roi_max_level,
        " and ", p.spatial_scales.size(), " spatial_scales, wanted one of each a level");
    for (std::size_t i = 1; i < in.size(); ++i)
      check(in[i].rank() == 4 && in[i][0] == in[1][0] && in[i][1] == in[1][1], signature.type, ": X_", i - 1,
            " must be (N, C, H, W) with the N and C of X_0, got ", in[i]);
    return {f32({in[0][0], in[1][1], p.pooled_h, p.pooled_w})};
  }

  static std::string meaning(const Params& p, std::size_t inputs) {
    std::string levels, pooled, text;
    for (std::size_t i = 0; i + 1 < inputs; ++i) {
      levels += join("rois_", i, ", ");
      pooled += join(i == 0 ? "" : ", ", "Y_", i);
      text += join("Y_", i, " = RoIAlign(X_", i, ", rois_", i, ") {order=", p.order,
                   " spatial_scale=", to_text(p.spatial_scales.at(i)), " pooled_h=", p.pooled_h,
                   " pooled_w=", p.pooled_w, " sampling_ratio=", p.sampling_ratio, " aligned=", p.aligned, "}\n");
    }
    return join(levels, "restore = DistributeFpnProposals(rois) {roi_canonical_scale=", p.roi_canonical_scale,
                " roi_canonical_level=", p.roi_canonical_level, " roi_max_level=", p.roi_max_level,
                " roi_min_level=", p.roi_min_level, " legacy_plus_one=", p.legacy_plus_one, "}\n", text,
                "all, sizes = Concat(", pooled, ") {axis=0}\nY = BatchPermutation(all, restore)\n");
  }
};

}  // namespace d2deploy
