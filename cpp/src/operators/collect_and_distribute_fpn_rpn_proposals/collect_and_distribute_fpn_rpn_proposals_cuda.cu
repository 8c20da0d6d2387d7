#include "operators/collect_and_distribute_fpn_rpn_proposals/collect_and_distribute_fpn_rpn_proposals.h"
#include "operators/collect_rpn_proposals/collect_cuda.h"
#include "operators/distribute_fpn_proposals/distribute_cuda.h"

namespace d2deploy {

namespace {

using Op = CollectAndDistributeFpnRpnProposals;

void run(const Op::Params& p, const Call& call) {
  Op::check_outputs(p, call.outputs.size());
  const std::size_t last = call.outputs.size() - 1;
  const std::int32_t* count = launch_collect(p, call, {slot_of_output(call, 0), slot_of_output(call, last)});
  launch_distribute(p, device_out<float>(call, 0), 5, {call.output(0).dim(0), count}, call, 1);
}

}  // namespace

template <>
Kernels<Op> kernels<Op, Backend::cuda>() {
  return {{.name = "count_f32",
           .reject = [](const Op::Params&, const CallSite& site) { return reject_collect(site); },
           .run = run,
           .prepare = [](const Op::Params&, const CallSite& site) { return prepare_collect(site); },
           .report = [](const Op::Params&, const CallSite&,
                        const DeviceFault& fault) { report_collect(Op::signature.type, fault); }}};
}

}  // namespace d2deploy
