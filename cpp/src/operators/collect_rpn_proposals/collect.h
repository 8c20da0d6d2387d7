// The choice among the RoIs of all levels, shared with PyramidProposals and
// CollectAndDistributeFpnRpnProposals. Defined in collect_rpn_proposals_cpu.cpp.
#pragma once
#include <cstdint>
#include <span>

#include "kernels/simt/host_device.h"
#include "operators/operator.h"

namespace d2deploy {

struct RpnCandidate {
  const float* roi;  ///< image, x1, y1, x2, y2
  float score;
  std::int32_t image, place;  ///< place: in the order of levels, which decides between equal scores
};

/// Whether rows may have this image index. There is no number of images to compare it with.
SIMT_HOST_DEVICE inline bool is_collected_image(float stored) { return stored > -1.0F && stored < 0x1p31F; }

/// Throws InvalidArgument unless row `row` of `rois_level` may have it.
inline void check_collected_image(const char* op, std::size_t level, std::int64_t row, float stored) {
  check(is_collected_image(stored), op, ": row ", row, " of rois_", level, " has image index ", stored,
        ", must not be negative");
}

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
