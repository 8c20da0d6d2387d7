#include "operators/collect_rpn_proposals/collect_rpn_proposals.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/scratch.h"
#include "operators/collect_rpn_proposals/collect.h"

namespace d2deploy {

namespace {

std::int32_t gather(const Call& call, RpnCandidate* candidates) {
  const std::size_t levels = call.inputs.size() / 2;
  std::int32_t count = 0;
  for (std::size_t l = 0; l < levels; ++l) {
    const float* roi = call.in<float>(l);
    const float* scores = call.in<float>(levels + l);
    for (std::int64_t r = 0; r < call.input(l).dim(0); ++r, roi += 5) {
      check(*roi > -1.0F && *roi < 0x1p31F, "CollectRpnProposals: row ", r, " of rois_", l, " has image index ", *roi,
            ", must not be negative");
      candidates[count] = {roi, scores[r], static_cast<std::int32_t>(*roi), count};
      ++count;
    }
  }
  return count;
}

// Image, then score from high to low, then place: total, so any sort gives the same answer.
bool before(const RpnCandidate& a, const RpnCandidate& b) {
  if (a.image != b.image) return a.image < b.image;
  if (a.score != b.score) return a.score > b.score;
  return a.place < b.place;
}

void run(const CollectRpnProposals::Params& p, const Call& call) {
  auto* candidates = static_cast<RpnCandidate*>(call.scratch);
  const std::int32_t count = gather(call, candidates);
  call.set_rows(0, collect(candidates, count, p.rpn_post_nms_topN, call.out<float>(0)));
}

}  // namespace

std::int64_t collect(RpnCandidate* candidates, std::int64_t count, std::int64_t limit, float* rois) {
  for (std::int64_t i = 0; i < count; ++i)
    if (std::isnan(candidates[i].score)) candidates[i].score = -std::numeric_limits<float>::infinity();
  std::sort(candidates, candidates + count, before);
  std::int64_t rows = 0, of_image = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (i > 0 && candidates[i].image != candidates[i - 1].image) of_image = 0;
    if (limit > 0 && of_image++ >= limit) continue;
    std::copy_n(candidates[i].roi, 5, rois + rows++ * 5);
  }
  return rows;
}

template <>
std::vector<KernelOf<CollectRpnProposals>> kernels<CollectRpnProposals, Backend::cpu>() {
  return {
      {"sort_f32", accepts_all<CollectRpnProposals>, run, [](const CollectRpnProposals::Params&, const CallSite& site) {
         Scratch scratch;
         scratch.take<RpnCandidate>(site.outputs[0].shape[0]);
         Prepared prepared;
         prepared.scratch_bytes = scratch.bytes();
         return prepared;
       }}};
}

}  // namespace d2deploy
