#include "operators/collect_rpn_proposals/collect_rpn_proposals.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/scratch.h"
#include "operators/collect_rpn_proposals/collect.h"

namespace d2deploy {

namespace {

// Image, then score from high to low, then place: total, so any sort gives the same answer.
bool before(const RpnCandidate& a, const RpnCandidate& b) {
  if (a.image != b.image) return a.image < b.image;
  if (a.score != b.score) return a.score > b.score;
  return a.place < b.place;
}

void run(const CollectRpnProposals::Params& p, const Call& call) {
  auto* candidates = static_cast<RpnCandidate*>(call.scratch);
  const std::int64_t count = gather("CollectRpnProposals", call.inputs, candidates);
  call.write_rows(0, collect(candidates, count, p.rpn_post_nms_topN, call.out<float>(0)));
}

}  // namespace

Prepared prepare_candidates(const CallSite& site) {
  Scratch scratch;
  scratch.take<RpnCandidate>(site.outputs[0].shape[0]);
  Prepared prepared;
  prepared.scratch_bytes = scratch.bytes();
  return prepared;
}

std::int64_t gather(const char* op, std::span<const Tensor* const> inputs, RpnCandidate* candidates) {
  const std::size_t levels = inputs.size() / 2;
  std::int32_t count = 0;
  for (std::size_t l = 0; l < levels; ++l) {
    const float* roi = inputs[l]->data<float>();
    const float* scores = inputs[levels + l]->data<float>();
    for (std::int64_t r = 0; r < inputs[l]->dim(0); ++r, roi += 5) {
      check_collected_image(op, l, r, *roi);
      candidates[count] = {roi, scores[r], static_cast<std::int32_t>(*roi), count};
      ++count;
    }
  }
  return count;
}

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
Kernels<CollectRpnProposals> kernels<CollectRpnProposals, Backend::cpu>() {
  return {{"sort_f32", accepts_all<CollectRpnProposals>, run,
           [](const CollectRpnProposals::Params&, const CallSite& site) { return prepare_candidates(site); }}};
}

}  // namespace d2deploy
