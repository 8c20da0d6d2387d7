// The work of DistributeFpnProposals, shared with CollectAndDistributeFpnRpnProposals. Defined in
// distribute_fpn_proposals_cpu.cpp.
#pragma once
#include "operators/distribute_fpn_proposals/distribute_fpn_proposals.h"

namespace d2deploy {

/// Writes the levels of `rois` and their restoring permutation to the outputs from `first_output` on, whose rows it
/// sets but for the last. There must be as many outputs as infer says.
void distribute(const DistributeFpnProposals::Params& p, const Tensor& rois, const Call& call,
                std::size_t first_output);

}  // namespace d2deploy
