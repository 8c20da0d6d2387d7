#include "operators/generate_proposals/propose_cuda.h"
#include "operators/pyramid_proposals/pyramid_proposals.h"

namespace d2deploy {

namespace {

using Params = PyramidProposals::Params;

template <class ScoresOf>
ProposalSizes sizes_of(const Params& p, const ScoresOf& scores_of) {
  ProposalSizes sizes;
  for (std::size_t i = 0; i < p.spatial_scales.size(); ++i) sizes.add(scores_of(i), p.pre_nms_topN);
  return sizes;
}

void run(const Params& p, const Call& call) {
  const std::size_t levels = p.spatial_scales.size();
  const auto sizes = sizes_of(p, [&](std::size_t i) -> const Shape& { return call.input(1 + i).shape(); });
  propose::Job job = proposal_job(p, call, sizes, 0);
  for (std::size_t i = 0; i < levels; ++i)
    job.levels[i] = proposal_level(p.level(i), call, 1 + i, 1 + levels + i, 1 + 2 * levels + i);
  job.limit = static_cast<int>(std::clamp<std::int64_t>(p.rpn_post_nms_topN, 0, INT32_MAX));
  Scratch scratch(call.scratch);
  take_proposal_memory(scratch, sizes, &job);
  launch_proposals<simt::UprightBoxes>(job, sizes, stream_of(call));
}

ProposalSizes sizes_at(const Params& p, const CallSite& site) {
  return sizes_of(p, [&](std::size_t i) -> const Shape& { return site.inputs[1 + i].shape; });
}

Prepared prepare(const Params& p, const CallSite& site) { return prepare_proposals(sizes_at(p, site)); }

std::string reject(const Params& p, const CallSite& site) {
  for (const TensorType& t : site.inputs)
    if (!t.shape.known()) return "the size of the feature maps is not known";
  return sizes_at(p, site).reject();
}

}  // namespace

template <>
Kernels<PyramidProposals> kernels<PyramidProposals, Backend::cuda>() {
  return {{"radix_select_f32", reject, run, prepare}};
}

}  // namespace d2deploy
