// The proposals of one image on one level: all that GenerateProposals does, and the larger part of PyramidProposals.
// Defined in generate_proposals_cpu.cpp.
#pragma once
#include "operators/generate_proposals/generate_proposals.h"

namespace d2deploy {

/// The inputs of GenerateProposals.
struct RpnLevel {
  const Tensor &scores, &deltas, &im_info, &anchors;
};

/// Bytes of scratch memory that `propose` wants for an image whose scores are one of `scores` (N, A, H, W), and
/// whose boxes have 4 columns, or 5 if rotated.
std::size_t propose_scratch_bytes(const GenerateProposals::Params& p, const Shape& scores, std::int64_t box = 4);

/// Writes the proposals of one image, best first: rois (n, 5), or (n, 6) if rotated, and their scores, probs (n).
/// Returns: n, at most GenerateProposals::most.
std::int64_t propose(const GenerateProposals::Params& p, const RpnLevel& level, std::int64_t image, void* scratch,
                     float* rois, float* probs);

}  // namespace d2deploy
