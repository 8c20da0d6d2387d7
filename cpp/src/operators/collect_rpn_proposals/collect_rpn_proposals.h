#pragma once
#include "operators/most_rows.h"
#include "operators/operator.h"

namespace d2deploy {

/// The RoIs of all levels with the highest scores: rpn_post_nms_topN of each image, grouped by ascending image, in
/// descending score; equal scores in the order of the inputs. A NaN score ranks last.
/// For one image this is Caffe2's answer. Deliberately different for several: Caffe2 ranks them together, so that
/// one image can crowd out another and the rows are not grouped as BBoxTransform needs them.
struct CollectRpnProposals {
  struct Params {
    std::int64_t rpn_max_level = 6, rpn_min_level = 2;
    std::int64_t rpn_post_nms_topN = 2000;
  };
  static constexpr auto fields = std::array{
      field<&Params::rpn_max_level>("rpn_max_level", Bound::any, "coarsest level; only the difference matters"),
      field<&Params::rpn_min_level>("rpn_min_level", Bound::any, "finest level"),
      field<&Params::rpn_post_nms_topN>("rpn_post_nms_topN", Bound::any, "most RoIs per image; <= 0: all"),
  };
  static constexpr Signature signature{
      "CollectRpnProposals",
      "rois*: float32 any (n, 5) image, x1, y1, x2, y2 of each level | scores*: float32 any (n) of each level",
      "rois: float32 (~m, 5) image, x1, y1, x2, y2"};

  // How many images there are is not known here, so the limit per image does not bound the rows.
  static Types infer(const Params& p, const Inputs& in) {
    const std::size_t levels = in.size() / 2;
    check<InvalidModel>(static_cast<std::int64_t>(levels) == p.rpn_max_level - p.rpn_min_level + 1, signature.type,
                        ": got rois and scores of ", levels, " levels, wanted levels ", p.rpn_min_level, " to ",
                        p.rpn_max_level);
    std::int64_t rows = 0;
    for (std::size_t i = 0; i < levels; ++i) {
      check(in[i].rank() == 2 && in[i][1] == 5, signature.type, ": rois_", i, " must be (n, 5), got ", in[i]);
      check(in[levels + i].rank() == 1 && in[levels + i][0] == in[i][0], signature.type, ": scores_", i, " must be (",
            in[i][0], "), got ", in[levels + i]);
      rows = plus(rows, in[i][0]);
    }
    check<Unsupported>(rows <= INT32_MAX, signature.type, ": takes at most 2^31 - 1 rows, got ", rows);
    return {f32({rows, 5})};
  }
};

}  // namespace d2deploy
