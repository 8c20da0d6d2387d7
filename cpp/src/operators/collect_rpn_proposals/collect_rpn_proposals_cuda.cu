#include "operators/collect_rpn_proposals/collect_cuda.h"

namespace d2deploy {

namespace {

using Params = CollectRpnProposals::Params;

void run(const Params& p, const Call& call) { (void)launch_collect(p, call, {slot_of_output(call, 0)}); }

}  // namespace

template <>
Kernels<CollectRpnProposals> kernels<CollectRpnProposals, Backend::cuda>() {
  return {{.name = "count_f32",
           .reject = [](const Params&, const CallSite& site) { return reject_collect(site); },
           .run = run,
           .prepare = [](const Params&, const CallSite& site) { return prepare_collect(site); },
           .report = [](const Params&, const CallSite&,
                        const DeviceFault& fault) { report_collect(CollectRpnProposals::signature.type, fault); }}};
}

}  // namespace d2deploy
