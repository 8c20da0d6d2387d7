#include "operators/pyramid_proposals/pyramid_proposals.h"

#include "core/threads.h"
#include "kernels/scratch.h"
#include "operators/collect_rpn_proposals/collect.h"
#include "operators/generate_proposals/propose.h"

namespace d2deploy {

namespace {

using Params = PyramidProposals::Params;

// Where one level stands in scratch memory: for every image room for the most proposals, and to work on them.
struct LevelMemory {
  std::int64_t most;
  std::size_t work_bytes;
  std::int64_t* kept;   // proposals of each image
  float *rois, *probs;  // (N, most, 5) and (N, most)
  std::byte* work;      // work_bytes for each image
};

LevelMemory take_level(Scratch& scratch, const GenerateProposals::Params& p, const Shape& scores) {
  const std::int64_t images = scores[0], most = GenerateProposals::most(p, scores);
  const std::size_t bytes = propose_scratch_bytes(p, scores);
  return {most,
          bytes,
          scratch.take<std::int64_t>(images),
          scratch.take<float>(images * most * 5),
          scratch.take<float>(images * most),
          scratch.take<std::byte>(checked_product(images, static_cast<std::int64_t>(bytes)))};
}

struct Memory {
  std::span<LevelMemory> levels;  // without elements where the scratch memory only counts
  RpnCandidate* candidates;

  /// `scores_of(i)` is the shape of the scores of level i.
  template <class F>
  Memory(Scratch& scratch, const Params& p, const F& scores_of) {
    const std::size_t count = p.spatial_scales.size();
    auto* list = scratch.take<LevelMemory>(static_cast<std::int64_t>(count));
    if (list != nullptr) levels = {list, count};
    std::int64_t most = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const Shape& scores = scores_of(i);
      const LevelMemory level = take_level(scratch, p.level(i), scores);
      if (list != nullptr) list[i] = level;
      most = checked_sum(most, checked_product(scores[0], level.most));
    }
    candidates = scratch.take<RpnCandidate>(most);
  }
};

void propose_one(const Params& p, const Call& call, std::size_t l, std::int64_t image, const LevelMemory& memory) {
  const std::size_t levels = p.spatial_scales.size();
  const RpnLevel level{call.input(1 + l), call.input(1 + levels + l), call.input(0), call.input(1 + 2 * levels + l)};
  memory.kept[image] =
      propose(p.level(l), level, image, memory.work + static_cast<std::size_t>(image) * memory.work_bytes,
              memory.rois + image * memory.most * 5, memory.probs + image * memory.most);
}

// In the order that CollectRpnProposals meets them: level, image, score.
std::int64_t gather(const Memory& memory, std::int64_t images) {
  std::int32_t count = 0;
  for (const LevelMemory& level : memory.levels)
    for (std::int64_t image = 0; image < images; ++image)
      for (std::int64_t k = image * level.most; k < image * level.most + level.kept[image]; ++k) {
        memory.candidates[count] = {level.rois + k * 5, level.probs[k], static_cast<std::int32_t>(image), count};
        ++count;
      }
  return count;
}

void run(const Params& p, const Call& call) {
  Scratch scratch(call.scratch);
  const Memory memory(scratch, p, [&](std::size_t i) -> const Shape& { return call.input(1 + i).shape(); });
  const std::int64_t images = call.input(0).dim(0);
  const std::int64_t tasks = std::ssize(memory.levels) * images;
  // The finest level, by far the largest, comes first, so that no thread starts on it last.
  parallel_for(tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const auto l = static_cast<std::size_t>(t / images);
      propose_one(p, call, l, t % images, memory.levels[l]);
    }
  });
  call.write_rows(0, collect(memory.candidates, gather(memory, images), p.rpn_post_nms_topN, call.out<float>(0)));
}

Prepared prepare(const Params& p, const CallSite& site) {
  Scratch scratch;
  const Memory memory(scratch, p, [&](std::size_t i) -> const Shape& { return site.inputs[1 + i].shape; });
  Prepared prepared;
  prepared.scratch_bytes = scratch.bytes();
  return prepared;
}

}  // namespace

template <>
Kernels<PyramidProposals> kernels<PyramidProposals, Backend::cpu>() {
  return {{"partial_sort_f32",
           [](const Params&, const CallSite& site) -> std::string {
             const bool known = std::ranges::all_of(site.inputs, [](const TensorType& t) { return t.shape.known(); });
             return known ? "" : "the size of the feature maps is not known";
           },
           run, prepare}};
}

}  // namespace d2deploy
