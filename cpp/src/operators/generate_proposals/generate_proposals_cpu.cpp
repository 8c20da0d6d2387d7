#include "operators/generate_proposals/generate_proposals.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/threads.h"
#include "kernels/boxes.h"
#include "kernels/nms.h"
#include "kernels/scratch.h"

namespace d2deploy {

namespace {

using Params = GenerateProposals::Params;

// What the work on one image needs.
struct Workspace {
  float* ranks;                      // scores in the order (A, H, W), NaN replaced
  std::int32_t* order;               // the candidates, best first; positions in `ranks`
  float* boxes;                      // of the candidates that are large enough ...
  std::int32_t *source, *survivors;  // ... their positions in `ranks`, and 0, 1, ... for the suppression
  float* nms;

  Workspace(Scratch& scratch, std::int64_t count, std::int64_t candidates)
      : ranks(scratch.take<float>(count)),
        order(scratch.take<std::int32_t>(count)),
        boxes(scratch.take<float>(4 * candidates)),
        source(scratch.take<std::int32_t>(candidates)),
        survivors(scratch.take<std::int32_t>(candidates)),
        nms(scratch.take<float>(nms_scratch_floats(candidates))) {}
};

struct Grid {
  std::int64_t anchors, height, width;
  std::int64_t count() const { return anchors * height * width; }
};
Grid grid_of(const Shape& scores) { return {scores[1], scores[2], scores[3]}; }

std::size_t scratch_per_image(const Params& p, const Grid& grid) {
  Scratch scratch;
  const Workspace work(scratch, grid.count(), limited(grid.count(), p.pre_nms_topN));
  return scratch.bytes();
}

// Fills `ranks` and `order`; returns how many candidates there are. The permutation starts ascending and is sorted
// by score alone: which of two equal scores comes first is what the sorting function makes of it.
std::int64_t rank(const Params& p, const Tensor& scores, std::int64_t image, const Workspace& work) {
  const Strides4 s = strides4(scores.type());
  const Grid grid = grid_of(scores.shape());
  const float* x = scores.data<float>() + image * s.n;
  float* out = work.ranks;
  for (std::int64_t a = 0; a < grid.anchors; ++a)
    for (std::int64_t h = 0; h < grid.height; ++h)
      for (std::int64_t w = 0; w < grid.width; ++w) {
        const float score = x[a * s.c + h * s.h + w * s.w];
        *out++ = std::isnan(score) ? -std::numeric_limits<float>::infinity() : score;
      }
  std::iota(work.order, work.order + grid.count(), 0);
  const auto higher = [&](std::int32_t a, std::int32_t b) { return work.ranks[a] > work.ranks[b]; };
  const std::int64_t candidates = limited(grid.count(), p.pre_nms_topN);
  if (candidates == grid.count())
    std::sort(work.order, work.order + candidates, higher);
  else
    std::partial_sort(work.order, work.order + candidates, work.order + grid.count(), higher);
  return candidates;
}

struct ImageInfo {
  float height, width, scale;
};

// Decodes, clips and filters the candidates; returns how many are left.
std::int64_t decode(const Params& p, const Call& call, std::int64_t image, std::int64_t candidates,
                    const Workspace& work) {
  const Tensor& deltas = call.input(1);
  const Strides4 s = strides4(deltas.type());
  const Grid grid = grid_of(call.input(0).shape());
  const float* info = call.in<float>(2) + image * 3;
  const ImageInfo im{info[0], info[1], info[2]};
  const float plus_one = p.legacy_plus_one ? 1.0F : 0.0F, least = p.min_size * im.scale;
  const auto cell = static_cast<float>(1.0 / static_cast<double>(p.spatial_scale));
  std::int64_t left = 0;
  for (std::int64_t i = 0; i < candidates; ++i) {
    const std::int64_t flat = work.order[i];
    const std::int64_t w = flat % grid.width, h = flat / grid.width % grid.height, a = flat / grid.width / grid.height;
    const float dx = static_cast<float>(w) * cell, dy = static_cast<float>(h) * cell;
    const Box anchor = load_box(call.in<float>(3) + a * 4);
    const float* d = deltas.data<float>() + image * s.n + a * 4 * s.c + h * s.h + w * s.w;
    const float delta[] = {d[0], d[s.c], d[2 * s.c], d[3 * s.c]};
    const Box decoded =
        decode_box({anchor.x1 + dx, anchor.y1 + dy, anchor.x2 + dx, anchor.y2 + dy}, delta, {}, plus_one);
    // Clipped to whole pixels, but the centre is compared with the size as it is given, as in Caffe2.
    const Box box = clip_box(decoded, std::trunc(im.width), std::trunc(im.height), plus_one);
    const float box_w = width(box, plus_one), box_h = height(box, plus_one);
    const bool keep =
        box_w >= least && box_h >= least && box.x1 + box_w / 2 < im.width && box.y1 + box_h / 2 < im.height;
    if (!keep) continue;
    store_box(box, work.boxes + left * 4);
    work.source[left++] = work.order[i];
  }
  return left;
}

// Writes the proposals of one image; returns how many.
std::int64_t propose(const Params& p, const Call& call, std::int64_t image, const Workspace& work, float* rois,
                     float* probs) {
  const Tensor& scores = call.input(0);
  const std::int64_t candidates = rank(p, scores, image, work);
  const std::int64_t left = decode(p, call, image, candidates, work);
  std::iota(work.survivors, work.survivors + left, 0);
  const std::int64_t kept =
      greedy_nms(work.boxes, 4, work.survivors, left, p.nms_thresh, p.legacy_plus_one, p.post_nms_topN, work.nms);
  const Strides4 s = strides4(scores.type());
  const Grid grid = grid_of(scores.shape());
  const float* x = scores.data<float>() + image * s.n;
  for (std::int64_t k = 0; k < kept; ++k) {
    const std::int32_t i = work.survivors[k];
    const std::int64_t flat = work.source[i];
    rois[k * 5] = static_cast<float>(image);
    store_box(load_box(work.boxes + std::int64_t{i} * 4), rois + k * 5 + 1);
    probs[k] =
        x[flat / grid.width / grid.height * s.c + flat / grid.width % grid.height * s.h + flat % grid.width * s.w];
  }
  return kept;
}

void run(const Params& p, const Call& call) {
  const Shape& shape = call.input(0).shape();
  const std::int64_t images = shape[0], most = GenerateProposals::most(p, shape);
  const Grid grid = grid_of(shape);
  const std::int64_t candidates = limited(grid.count(), p.pre_nms_topN);
  const std::size_t bytes = scratch_per_image(p, grid);
  float *rois = call.out<float>(0), *probs = call.out<float>(1);

  // Each image writes where it stands if all those before it are full; then the gaps are closed. How many rows it
  // wrote stands in the first word of its scratch memory, which the work on it no longer needs.
  const auto part = [&](std::int64_t image) {
    return static_cast<std::byte*>(call.scratch) + static_cast<std::size_t>(image) * bytes;
  };
  parallel_for(images, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t image = begin; image < end; ++image) {
      Scratch scratch(part(image));
      const Workspace work(scratch, grid.count(), candidates);
      const std::int64_t kept = propose(p, call, image, work, rois + image * most * 5, probs + image * most);
      if (grid.count() > 0) work.order[0] = static_cast<std::int32_t>(kept);
    }
  });
  std::int64_t rows = 0;
  for (std::int64_t image = 0; image < images && most > 0; ++image) {
    Scratch scratch(part(image));
    const std::int64_t kept = Workspace(scratch, grid.count(), candidates).order[0];
    std::copy_n(rois + image * most * 5, kept * 5, rois + rows * 5);
    std::copy_n(probs + image * most, kept, probs + rows);
    rows += kept;
  }
  call.set_rows(0, rows);
  call.set_rows(1, rows);
}

}  // namespace

template <>
std::vector<KernelOf<GenerateProposals>> kernels<GenerateProposals, Backend::cpu>() {
  return {{"partial_sort_f32", accepts_all<GenerateProposals>, run, [](const Params& p, const CallSite& site) {
             const Shape& scores = site.inputs[0].shape;
             Prepared prepared;
             prepared.scratch_bytes = scratch_per_image(p, grid_of(scores)) * static_cast<std::size_t>(scores[0]);
             return prepared;
           }}};
}

}  // namespace d2deploy
