#include "operators/generate_proposals/generate_proposals.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/threads.h"
#include "kernels/nms.h"
#include "kernels/scratch.h"
#include "operators/generate_proposals/decode.h"
#include "operators/generate_proposals/propose.h"
#include "operators/generate_proposals/rank.h"

namespace d2deploy {

namespace {

using Params = GenerateProposals::Params;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// What the work on one image needs.
struct Workspace {
  float* ranks;                      // scores in the order (A, H, W), NaN replaced
  std::int32_t* order;               // the candidates, best first; positions in `ranks`
  float* boxes;                      // of the candidates that are large enough ...
  std::int32_t *source, *survivors;  // ... their positions in `ranks`, and 0, 1, ... for the suppression
  float* nms;

  Workspace(Scratch& scratch, std::int64_t count, std::int64_t candidates, std::int64_t box)
      : ranks(scratch.take<float>(count)),
        order(scratch.take<std::int32_t>(count)),
        boxes(scratch.take<float>(box * candidates)),
        source(scratch.take<std::int32_t>(candidates)),
        survivors(scratch.take<std::int32_t>(candidates)),
        nms(scratch.take<float>(nms_scratch_floats(candidates, box == 5))) {}
};

AnchorGrid grid_of(const Shape& scores) { return {scores[1], scores[2], scores[3]}; }

// Fills `ranks`. To sorting functions NaN must be a number; PyTorch takes it for the highest.
void list_ranks(const Params& p, const Tensor& scores, std::int64_t image, const Workspace& work) {
  const Strides4 s = strides4(scores.type());
  const AnchorGrid grid = grid_of(scores.shape());
  const float* x = scores.data<float>() + image * s.n;
  float* out = work.ranks;
  const float rank_of_nan = p.detectron2_order ? kInfinity : -kInfinity;
  for (std::int64_t a = 0; a < grid.anchors; ++a)
    for (std::int64_t h = 0; h < grid.height; ++h)
      for (std::int64_t w = 0; w < grid.width; ++w) {
        const float score = x[a * s.c + h * s.h + w * s.w];
        *out++ = std::isnan(score) ? rank_of_nan : score;
      }
}

// A number as a whole one: those of two numbers are in the order of the numbers. -0 is 0.
std::uint32_t ordered_bits(float v) {
  const auto bits = std::bit_cast<std::uint32_t>(v + 0.0F);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
}
float from_ordered_bits(std::uint32_t bits) {
  return std::bit_cast<float>((bits >> 31) != 0 ? bits & 0x7FFFFFFFU : ~bits);
}

// A number that at least `candidates` of `ranks` reach, and not many more: the least one that has the 11 highest bits
// of the last candidate.
float threshold_of(const float* ranks, std::int64_t count, std::int64_t candidates) {
  constexpr int kShift = 21;
  std::array<std::int32_t, (1 << (32 - kShift))> histogram{};
  for (std::int64_t i = 0; i < count; ++i) ++histogram[ordered_bits(ranks[i]) >> kShift];
  std::size_t bin = histogram.size();
  for (std::int64_t above = 0; above < candidates;) above += histogram[--bin];
  return from_ordered_bits(static_cast<std::uint32_t>(bin) << kShift);
}

// The cells whose rank is at least `threshold`, into `order`; returns how many.
std::int64_t list_reaching(const float* ranks, std::int64_t count, float threshold, std::int32_t* order) {
  constexpr std::int64_t kLanes = 16;  // compared without a branch between them, and few of them reach it
  std::int64_t n = 0;
  for (std::int64_t first = 0; first < count; first += kLanes) {
    const std::int64_t end = std::min(first + kLanes, count);
    std::int32_t hits = end - first < kLanes ? 1 : 0;
    if (hits == 0)
      for (std::int64_t lane = 0; lane < kLanes; ++lane) hits |= ranks[first + lane] >= threshold ? 1 : 0;
    if (hits == 0) continue;
    for (std::int64_t i = first; i < end; ++i)
      if (ranks[i] >= threshold) order[n++] = static_cast<std::int32_t>(i);
  }
  return n;
}

// Where no other cell has the rank of a candidate there is one order alone, whoever sorts: fills `order` with the
// candidates, without sorting what is far from being one. False: there are equal ranks.
bool rank_distinct(std::int64_t count, std::int64_t candidates, const Workspace& work) {
  if (candidates == 0) return true;
  const float threshold = threshold_of(work.ranks, count, candidates);
  if (std::isnan(threshold)) return false;  // a candidate is -infinity, below which the bits are those of NaN
  std::int32_t *first = work.order, *middle = first + candidates;
  std::int32_t* last = first + list_reaching(work.ranks, count, threshold, first);
  const auto higher = [&](std::int32_t a, std::int32_t b) { return work.ranks[a] > work.ranks[b]; };
  std::nth_element(first, middle - 1, last, higher);
  std::sort(first, middle, higher);
  const auto equal = [&](std::int32_t a, std::int32_t b) { return work.ranks[a] == work.ranks[b]; };
  return std::adjacent_find(first, middle, equal) == middle &&
         std::none_of(middle, last, [&](std::int32_t i) { return equal(i, middle[-1]); });
}

// Fills `ranks` and `order`; returns how many candidates there are.
std::int64_t rank(const Params& p, const Tensor& scores, std::int64_t image, const Workspace& work) {
  list_ranks(p, scores, image, work);
  const AnchorGrid grid = grid_of(scores.shape());
  const std::int64_t count = grid.count(), candidates = limited(count, p.pre_nms_topN);
  if (candidates < count && rank_distinct(count, candidates, work)) return candidates;
  sort_cells<StandardSorting>(p.detectron2_order, grid, work.ranks, candidates, work.order);
  return candidates;
}

// Decodes, clips and filters the candidates; returns how many are left.
std::int64_t decode(const Params& p, const RpnLevel& level, std::int64_t image, std::int64_t candidates,
                    const Workspace& work) {
  const Strides4 s = strides4(level.deltas.type());
  const AnchorGrid grid = grid_of(level.scores.shape());
  const auto limits = ProposalLimits::of(level.im_info.data<float>() + image * 3, p.min_size);
  const float cell = cell_pixels(p.spatial_scale);
  const std::int64_t columns = level.anchors.dim(1);
  const auto rule = ProposalRule::of(p, columns == 5);
  std::int64_t left = 0;
  for (std::int64_t i = 0; i < candidates; ++i) {
    const std::int64_t flat = work.order[i];
    if (p.detectron2_order && !std::isfinite(work.ranks[flat])) continue;
    const std::int64_t w = flat % grid.width, h = flat / grid.width % grid.height, a = flat / grid.width / grid.height;
    const float dx = static_cast<float>(w) * cell, dy = static_cast<float>(h) * cell;
    const float* anchor = level.anchors.data<float>() + a * columns;
    const float* d = level.deltas.data<float>() + image * s.n + a * columns * s.c + h * s.h + w * s.w;
    std::array<float, 5> deltas{};
    for (std::size_t k = 0; k < static_cast<std::size_t>(columns); ++k)
      deltas[k] = d[static_cast<std::int64_t>(k) * s.c];
    float* box = work.boxes + left * columns;
    const bool keep = columns == 4 ? decode_upright(rule, limits, anchor, dx, dy, deltas.data(), box)
                                   : decode_rotated(rule, limits, anchor, dx, dy, deltas.data(), box);
    if (keep) work.source[left++] = work.order[i];
  }
  return left;
}

}  // namespace

std::size_t propose_scratch_bytes(const Params& p, const Shape& scores, std::int64_t box) {
  const std::int64_t count = grid_of(scores).count();
  Scratch scratch;
  const Workspace work(scratch, count, limited(count, p.pre_nms_topN), box);
  return scratch.bytes();
}

std::int64_t propose(const Params& p, const RpnLevel& level, std::int64_t image, void* memory, float* rois,
                     float* probs) {
  const AnchorGrid grid = grid_of(level.scores.shape());
  Scratch scratch(memory);
  const std::int64_t columns = level.anchors.dim(1);
  const Workspace work(scratch, grid.count(), limited(grid.count(), p.pre_nms_topN), columns);
  const std::int64_t candidates = rank(p, level.scores, image, work);
  const std::int64_t left = decode(p, level, image, candidates, work);
  std::iota(work.survivors, work.survivors + left, 0);
  const std::int64_t kept =
      columns == 5
          ? greedy_nms_rotated(work.boxes, 5, work.survivors, left, p.nms_thresh, p.post_nms_topN, work.nms)
          : greedy_nms(work.boxes, 4, work.survivors, left, p.nms_thresh, p.legacy_plus_one, p.post_nms_topN, work.nms);
  const Strides4 s = strides4(level.scores.type());
  const float* x = level.scores.data<float>() + image * s.n;
  for (std::int64_t k = 0; k < kept; ++k) {
    const std::int32_t i = work.survivors[k];
    const std::int64_t flat = work.source[i];
    float* roi = rois + k * (columns + 1);
    roi[0] = static_cast<float>(image);
    std::copy_n(work.boxes + i * columns, columns, roi + 1);
    probs[k] =
        x[flat / grid.width / grid.height * s.c + flat / grid.width % grid.height * s.h + flat % grid.width * s.w];
  }
  return kept;
}

namespace {

struct Memory {
  std::int64_t* kept;  // proposals of each image
  std::byte* work;     // a part for each image
  Memory(Scratch& scratch, std::int64_t images, std::size_t bytes)
      : kept(scratch.take<std::int64_t>(images)),
        work(scratch.take<std::byte>(checked_product(images, static_cast<std::int64_t>(bytes)))) {}
};

void run(const Params& p, const Call& call) {
  const Shape& shape = call.input(0).shape();
  const std::int64_t images = shape[0], most = GenerateProposals::most(p, shape);
  const std::int64_t columns = call.output(0).dim(1);
  const std::size_t bytes = propose_scratch_bytes(p, shape, columns - 1);
  float *rois = call.out<float>(0), *probs = call.out<float>(1);
  Scratch scratch(call.scratch);
  const Memory memory(scratch, images, bytes);
  const RpnLevel level{call.input(0), call.input(1), call.input(2), call.input(3)};

  // Each image writes where it stands if all those before it are full; then the gaps are closed.
  parallel_for(images, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      memory.kept[i] = propose(p, level, i, memory.work + static_cast<std::size_t>(i) * bytes,
                               rois + i * most * columns, probs + i * most);
  });
  std::int64_t rows = 0;
  for (std::int64_t i = 0; i < images; ++i) {
    std::copy_n(rois + i * most * columns, memory.kept[i] * columns, rois + rows * columns);
    std::copy_n(probs + i * most, memory.kept[i], probs + rows);
    rows += memory.kept[i];
  }
  call.write_rows(0, rows);
  call.write_rows(1, rows);
}

}  // namespace

template <>
Kernels<GenerateProposals> kernels<GenerateProposals, Backend::cpu>() {
  return {{"partial_sort_f32", accepts_all<GenerateProposals>, run, [](const Params& p, const CallSite& site) {
             const Shape& scores = site.inputs[0].shape;
             Scratch scratch;
             const Memory memory(scratch, scores[0], propose_scratch_bytes(p, scores, site.inputs[3].shape[1]));
             Prepared prepared;
             prepared.scratch_bytes = scratch.bytes();
             return prepared;
           }}};
}

}  // namespace d2deploy
