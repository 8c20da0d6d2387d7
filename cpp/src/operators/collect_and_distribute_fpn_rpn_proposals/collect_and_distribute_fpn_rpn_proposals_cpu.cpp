#include "operators/collect_and_distribute_fpn_rpn_proposals/collect_and_distribute_fpn_rpn_proposals.h"

#include "operators/collect_rpn_proposals/collect.h"
#include "operators/distribute_fpn_proposals/distribute.h"

namespace d2deploy {

namespace {

using Params = CollectAndDistributeFpnRpnProposals::Params;

void run(const Params& p, const Call& call) {
  const char* type = CollectAndDistributeFpnRpnProposals::signature.type;
  CollectAndDistributeFpnRpnProposals::check_outputs(p, call.outputs.size());
  auto* candidates = static_cast<RpnCandidate*>(call.scratch);
  const std::int64_t count = gather(type, call.inputs, candidates);
  const std::int64_t rows = collect(candidates, count, p.rpn_post_nms_topN, call.out<float>(0));
  call.write_rows(0, rows);
  call.write_rows(call.outputs.size() - 1, rows);
  distribute(p, call.output(0), call, 1);
}

}  // namespace

template <>
Kernels<CollectAndDistributeFpnRpnProposals> kernels<CollectAndDistributeFpnRpnProposals, Backend::cpu>() {
  return {{"sort_f32", accepts_all<CollectAndDistributeFpnRpnProposals>, run,
           [](const Params&, const CallSite& site) { return prepare_candidates(site); }}};
}

}  // namespace d2deploy
