#include "operators/generate_proposals/generate_proposals.h"
#include "operators/generate_proposals/propose_cuda.h"

namespace d2deploy {

namespace {

using Params = GenerateProposals::Params;

ProposalSizes sizes_of(const Params& p, const Shape& scores, const Shape& anchors) {
  ProposalSizes sizes;
  sizes.add(scores, p.pre_nms_topN);
  sizes.columns = anchors[1];
  return sizes;
}

void run(const Params& p, const Call& call) {
  const ProposalSizes sizes = sizes_of(p, call.input(0).shape(), call.input(3).shape());
  propose::Job job = proposal_job(p, call, sizes, 2);
  job.levels[0] = proposal_level(p, call, 0, 1, 3);
  job.probs = device_out<float>(call, 1);
  job.slots[1] = slot_of_output(call, 1);
  Scratch scratch(call.scratch);
  take_proposal_memory(scratch, sizes, &job);
  const auto go = job.columns == 4 ? launch_proposals<simt::UprightBoxes> : launch_proposals<simt::RotatedBoxes>;
  go(job, sizes, stream_of(call));
}

ProposalSizes sizes_at(const Params& p, const CallSite& site) {
  return sizes_of(p, site.inputs[0].shape, site.inputs[3].shape);
}

Prepared prepare(const Params& p, const CallSite& site) { return prepare_proposals(sizes_at(p, site)); }

std::string reject(const Params& p, const CallSite& site) {
  if (!site.inputs[0].shape.known()) return "the size of the feature map is not known";
  return sizes_at(p, site).reject();
}

}  // namespace

template <>
Kernels<GenerateProposals> kernels<GenerateProposals, Backend::cuda>() {
  return {{"radix_select_f32", reject, run, prepare}};
}

}  // namespace d2deploy
