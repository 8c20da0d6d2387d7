// Times resizing as a detector wants it: to rows of interleaved bytes, and to the planes of a net's input.
//
//   resize_benchmark [--benchmark_filter=planes ...]
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <vector>

#include "core/threads.h"
#include "detector/resize.h"

using namespace d2deploy;

namespace {

constexpr std::int64_t kChannels = 3;

struct Sizes {
  Size from, to;
  std::vector<std::uint8_t> pixels;
  ImageView image;

  // Arguments: height and width of the picture and of the result, threads.
  explicit Sizes(const benchmark::State& state)
      : from{state.range(0), state.range(1)}, to{state.range(2), state.range(3)} {
    pixels.resize(static_cast<std::size_t>(from.height * from.width * kChannels));
    std::uint32_t random = 1;
    for (auto& p : pixels) p = static_cast<std::uint8_t>((random = random * 1664525U + 1013904223U) >> 24);
    image = {pixels.data(), from.height, from.width, from.width * kChannels};
  }
};

void to_bytes(benchmark::State& state) {
  const Sizes sizes(state);
  std::vector<std::uint8_t> out(static_cast<std::size_t>(sizes.to.height * sizes.to.width * kChannels));
  for (auto _ : state)
    resize(sizes.image, sizes.to, out.data(), sizes.to.width * kChannels, static_cast<int>(state.range(4)));
}

void to_planes(benchmark::State& state) {
  const Sizes sizes(state);
  const ThreadScope threads(static_cast<int>(state.range(4)));
  const auto padded = [](std::int64_t size) { return (size + 31) / 32 * 32; };
  const Size plane{padded(sizes.to.height), padded(sizes.to.width)};
  const std::array<PlaneSource, kChannels> planes{{{2, 0.0F}, {1, 0.0F}, {0, 0.0F}}};  // RGB to BGR
  std::vector<float> out(static_cast<std::size_t>(plane.height * plane.width * kChannels));
  for (auto _ : state) resize_into_planes(sizes.image, sizes.to, planes, plane, out.data());
}

void sizes(benchmark::internal::Benchmark* b) {
  for (const int threads : {1, available_threads()})
    for (const auto& s :
         {std::array<std::int64_t, 4>{480, 640, 800, 1067}, {1080, 1920, 750, 1333}, {3000, 4000, 800, 1067}})
      b->Args({s[0], s[1], s[2], s[3], threads});
  b->Unit(benchmark::kMillisecond)->UseRealTime();
}

BENCHMARK(to_bytes)->Apply(sizes);
BENCHMARK(to_planes)->Apply(sizes);

}  // namespace

BENCHMARK_MAIN();
