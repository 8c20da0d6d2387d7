// The proposals of all images on all levels of a pyramid at once, on a GPU: for GenerateProposals, which has one level,
// and PyramidProposals.
#pragma once
#include "operators/generate_proposals/propose_kernels.h"

namespace d2deploy {

/// The sizes of the maps of all levels.
struct ProposalSizes {
  std::int64_t images = 0, levels = 0, most = 0, largest = 0, columns = 4;

  void add(const Shape& scores, std::int64_t pre_nms) {
    const std::int64_t count = scores[1] * scores[2] * scores[3];
    images = scores[0];
    ++levels;
    largest = std::max(largest, count);
    most = std::max(most, limited(count, pre_nms));
  }
  std::string reject() const {
    constexpr std::int64_t kMostSegments = 65535;
    if (levels > kMostProposalLevels) return join("takes at most ", kMostProposalLevels, " levels");
    if (images * levels > kMostSegments) return join("takes at most ", kMostSegments, " images times levels");
    return {};
  }
};

/// Hands out the memory of a call, or only counts it. Fills `job` where there is one.
inline void take_proposal_memory(Scratch& scratch, const ProposalSizes& sizes, propose::Job* job = nullptr) {
  const propose::Work work(scratch, sizes.images * sizes.levels, sizes.most, sizes.columns);
  auto* keys = scratch.take<simt::Word>(checked_product(sizes.images * sizes.levels, sizes.largest));
  if (job == nullptr) return;
  job->work = work;
  for (int l = 0; l < job->level_count; ++l) job->levels[l].keys = keys + l * sizes.images * sizes.largest;
}

inline Prepared prepare_proposals(const ProposalSizes& sizes) {
  Scratch scratch;
  take_proposal_memory(scratch, sizes);
  Prepared prepared;
  prepared.scratch_bytes = scratch.bytes();
  return prepared;
}

/// All but the levels and the memory.
inline propose::Job proposal_job(const GenerateProposals::Params& p, const Call& call, const ProposalSizes& sizes,
                                 std::size_t im_info) {
  propose::Job job{};
  job.level_count = static_cast<int>(sizes.levels);
  job.images = static_cast<int>(sizes.images);
  job.most = static_cast<int>(sizes.most);
  job.columns = static_cast<int>(sizes.columns);
  job.image_rows = rows_of_input(call, im_info);
  job.im_info = device_in<float>(call, im_info);
  job.detectron2_order = p.detectron2_order;
  job.min_size = p.min_size;
  job.rule = ProposalRule::of(p, sizes.columns == 5);
  job.nms = {p.nms_thresh, p.legacy_plus_one ? 1.0F : 0.0F,
             static_cast<int>(std::clamp<std::int64_t>(p.post_nms_topN, 0, INT32_MAX))};
  job.rois = device_out<float>(call, 0);
  job.slots[0] = slot_of_output(call, 0);
  return job;
}

inline propose::Level proposal_level(const GenerateProposals::Params& p, const Call& call, std::size_t scores,
                                     std::size_t deltas, std::size_t anchors) {
  const Tensor& x = call.input(scores);
  const AnchorGrid grid{x.dim(1), x.dim(2), x.dim(3)};
  return {device_in<float>(call, scores),
          device_in<float>(call, deltas),
          device_in<float>(call, anchors),
          grid,
          strides4(call.input(deltas).type()),
          cell_pixels(p.spatial_scale),
          x.layout() == Layout::channels_last,
          static_cast<int>(grid.count()),
          static_cast<int>(limited(grid.count(), p.pre_nms_topN)),
          nullptr};
}

/// Args: `job` complete.
template <class Boxes>
void launch_proposals(propose::Job job, const ProposalSizes& sizes, simt::Stream stream) {
  using namespace propose;
  const auto segments = static_cast<unsigned>(sizes.images * sizes.levels);
  if (sizes.most == 0) job.images = 0;  // then there is nothing to propose
  if (segments > 0 && sizes.most > 0) {
    constexpr unsigned kEach = 16;  // scores a thread: a block's bins cost as much as some of them
    const dim3 all(std::min(blocks_for(sizes.largest, kThreads * kEach), 256U), segments);
    const std::int64_t counters = std::int64_t{segments} * (kBins + 1);
    launch("proposals: clear", clear, {blocks_for(counters, kThreads), kThreads, 0, stream}, job.work.bins, counters);
    launch("proposals: count_ranks", count_ranks, {all, kThreads, 0, stream}, job);
    launch("proposals: gather_keys", gather_keys, {all, kThreads, 0, stream}, job);
    const std::size_t keys = job.most <= kMostInBlock ? sizeof(Word) * static_cast<std::size_t>(job.most) : 0;
    launch("proposals: choose_and_decode", choose_and_decode, {segments, kSortThreads, keys, stream}, job);
    if (job.most <= kMostCompared) {
      const auto tiles = static_cast<unsigned>(nms_tiles(job.most));
      launch("proposals: compare", nms_compare<Boxes>, {{tiles, tiles, segments}, kNmsTile, 0, stream},
             NmsSegments{job.work.boxes, job.work.counts, job.most, job.work.mask}, job.nms);
      launch("proposals: suppress_compared", suppress_compared, {segments, kNmsReaders, tiles * sizeof(Word), stream},
             job);
    } else {
      launch("proposals: suppress_many", suppress_many<Boxes>, {segments, kSuppressThreads, 0, stream}, job);
    }
  }
  const dim3 written(blocks_for(sizes.most, kThreads), std::max(segments, 1U));
  launch("proposals: write_proposals", write_proposals, {written, kThreads, 0, stream}, job);
}

}  // namespace d2deploy
