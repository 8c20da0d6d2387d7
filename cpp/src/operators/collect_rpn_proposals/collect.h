// The choice among the RoIs of all levels, shared with PyramidProposals and
// CollectAndDistributeFpnRpnProposals. Defined in collect_rpn_proposals_cpu.cpp.
#pragma once
#include <cstdint>
#include <span>

#include "operators/operator.h"

namespace d2deploy {

struct RpnCandidate {
  const float* roi;  ///< image, x1, y1, x2, y2
  float score;
  std::int32_t image, place;  ///< place: in the order of levels, which decides between equal scores
};

/// Scratch memory for the candidates of a call whose output 0 has all of them, or fewer.
Prepared prepare_candidates(const CallSite& site);

/// All rows of the inputs of CollectRpnProposals. Throws InvalidArgument, with the row, where an image index is
/// negative or not a number. Returns: how many there are.
std::int64_t gather(const char* op, std::span<const Tensor* const> inputs, RpnCandidate* candidates);

/// Writes the RoIs of the `limit` best candidates of each image (<= 0: of all), grouped by ascending image, in
/// descending score; a NaN score ranks last. `candidates` end up in another order, and `rois` (n, 5) must not overlap
/// theirs. Returns: n.
std::int64_t collect(RpnCandidate* candidates, std::int64_t count, std::int64_t limit, float* rois);

}  // namespace d2deploy
