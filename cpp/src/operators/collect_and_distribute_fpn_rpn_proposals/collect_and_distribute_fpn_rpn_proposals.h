#pragma once
#include "operators/collect_rpn_proposals/collect_rpn_proposals.h"
#include "operators/distribute_fpn_proposals/distribute_fpn_proposals.h"

namespace d2deploy {

/// CollectRpnProposals, and DistributeFpnProposals of what it gives: the best RoIs of all levels, those RoIs sorted by
/// the level of the feature pyramid that fits their size, and where each of them stands in all levels one after the
/// other. Images are kept apart as in CollectRpnProposals.
struct CollectAndDistributeFpnRpnProposals {
  struct Params : CollectRpnProposals::Params, DistributeFpnProposals::Params {};
  static constexpr auto fields =
      joined(inherited<Params, CollectRpnProposals::Params>(CollectRpnProposals::fields),
             inherited<Params, DistributeFpnProposals::Params>(DistributeFpnProposals::fields));
  static constexpr Signature signature{
      "CollectAndDistributeFpnRpnProposals",
      "rois*: float32 any (n, 5) image, x1, y1, x2, y2 of each level | scores*: float32 any (n) of each level",
      "rois: float32 (~m, 5) image, x1, y1, x2, y2 | rois_level*: float32 (~k, 5) those of each level | "
      "rois_idx_restore: int32 (~m)"};

  /// Throws InvalidArgument unless there are the outputs that levels want.
  static void check_outputs(const Params& p, std::size_t count) {
    const auto levels = static_cast<std::size_t>(p.roi_max_level - p.roi_min_level + 1);
    check(count == levels + 2, signature.type, ": got ", count, " outputs, wanted rois, one for each of ", levels,
          " levels, and rois_idx_restore");
  }
  static Types infer(const Params& p, const Inputs& in) {
    return with_context([] { return std::string(signature.type); },
                        [&] {
                          Types types = CollectRpnProposals::infer(p, in);
                          for (TensorType& t : DistributeFpnProposals::infer(p, {types, {}}))
                            types.push_back(std::move(t));
                          return types;
                        });
  }
};

}  // namespace d2deploy
