// Times what becomes of 100 masks of a Mask R-CNN on a picture of 800 x 1216 pixels, and of the keypoints of 100
// persons, on one thread:
//
//   mask_benchmark [--benchmark_filter=run_lengths ...]
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>

#include "core/threads.h"
#include "d2deploy/mask.h"
#include "detector/keypoints.h"

using namespace d2deploy;

namespace {

constexpr std::int64_t kHeight = 800, kWidth = 1216, kCount = 100, kSide = 28;

struct Objects {
  std::vector<std::vector<float>> masks;
  std::vector<std::array<float, 4>> boxes;
};

// Lobed discs that fade at their outlines, as a mask head gives them, in boxes of all sizes.
Objects objects() {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> unit(0, 1);
  Objects out;
  for (std::int64_t i = 0; i < kCount; ++i) {
    const float phase = 6 * unit(random), lobes = 2 + std::floor(4 * unit(random));
    std::vector<float> mask;
    for (std::int64_t y = 0; y < kSide; ++y)
      for (std::int64_t x = 0; x < kSide; ++x) {
        const float u = (static_cast<float>(x) + 0.5F) / 14 - 1, v = (static_cast<float>(y) + 0.5F) / 14 - 1;
        const float radius = 0.75F + 0.2F * std::sin(lobes * std::atan2(v, u) + phase);
        mask.push_back(1 / (1 + std::exp(-20 * (radius - std::hypot(u, v)))));
      }
    out.masks.push_back(std::move(mask));
    // Sides from 16 to 800 pixels, each octave as often as the others.
    const float width = 16 * std::pow(50.0F, unit(random)), height = 16 * std::pow(50.0F, unit(random));
    const float left = unit(random) * (kWidth - width), top = unit(random) * (kHeight - height);
    out.boxes.push_back({left, top, left + width, top + height});
  }
  return out;
}

template <class Use>
void each_mask(benchmark::State& state, const Use& use) {
  const Objects all = objects();
  for (auto _ : state)
    for (std::int64_t i = 0; i < kCount; ++i) benchmark::DoNotOptimize(use(all.masks[i], all.boxes[i]));
}

void paste(benchmark::State& state) {
  each_mask(state, [](const auto& mask, const auto& box) { return paste_mask(mask, kSide, box, kHeight, kWidth); });
}
BENCHMARK(paste)->Unit(benchmark::kMillisecond);

RunLengths runs_of(const std::vector<float>& mask, const std::array<float, 4>& box) {
  return paste_run_lengths(mask, kSide, box, kHeight, kWidth);
}

void run_lengths(benchmark::State& state) { each_mask(state, runs_of); }
BENCHMARK(run_lengths)->Unit(benchmark::kMillisecond);

void coco_strings(benchmark::State& state) {
  each_mask(state, [](const auto& mask, const auto& box) { return to_coco_string(runs_of(mask, box)); });
}
BENCHMARK(coco_strings)->Unit(benchmark::kMillisecond);

void outlines(benchmark::State& state) {
  each_mask(state, [](const auto& mask, const auto& box) { return polygons(runs_of(mask, box)); });
}
BENCHMARK(outlines)->Unit(benchmark::kMillisecond);

// 17 heat maps of 56 x 56 cells for each box, each with a peak and some noise.
void keypoints(benchmark::State& state) {
  constexpr std::int64_t kKinds = 17, kCells = 56;
  const Objects all = objects();
  std::mt19937 random(2);
  std::uniform_real_distribution<float> place(0, kCells), noise(-0.2F, 0.2F);
  Tensor maps = Tensor::allocate({DType::float32, {kCount, kKinds, kCells, kCells}, Layout::row_major});
  float* cell = maps.data<float>();
  for (std::int64_t i = 0; i < kCount * kKinds; ++i) {
    const float peak_x = place(random), peak_y = place(random);
    for (std::int64_t y = 0; y < kCells; ++y)
      for (std::int64_t x = 0; x < kCells; ++x)
        *cell++ = noise(random) - 0.2F * std::hypot(static_cast<float>(x) - peak_x, static_cast<float>(y) - peak_y);
  }
  Detections found;
  for (std::int64_t i = 0; i < kCount; ++i) {
    found.boxes.insert(found.boxes.end(), all.boxes[i].begin(), all.boxes[i].end());
    found.scores.push_back(1);
    found.classes.push_back(0);
    found.rows.push_back(i);
  }
  const ThreadScope one(1);
  for (auto _ : state) benchmark::DoNotOptimize(keypoints_of_maps(maps, found, {kHeight, kWidth}));
}
BENCHMARK(keypoints)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
