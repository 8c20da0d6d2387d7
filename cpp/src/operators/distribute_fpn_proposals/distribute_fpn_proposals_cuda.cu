#include "operators/distribute_fpn_proposals/distribute_cuda.h"

namespace d2deploy {

namespace {

void run(const DistributeFpnProposals::Params& p, const Call& call) {
  DistributeFpnProposals::check_outputs(p, call.outputs.size());
  launch_distribute(p, device_in<float>(call, 0), call.input(0).dim(1), rows_of_input(call, 0), call, 0);
}

}  // namespace

template <>
Kernels<DistributeFpnProposals> kernels<DistributeFpnProposals, Backend::cuda>() {
  return {{"block_f32", accepts_all<DistributeFpnProposals>, run}};
}

}  // namespace d2deploy
