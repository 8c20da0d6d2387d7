#include "operators/uncertain_points/uncertain_points.h"

#include <algorithm>
#include <bit>

#include "core/threads.h"
#include "kernels/scratch.h"
#include "operators/uncertain_points/certainty.h"

namespace d2deploy {

namespace {

using Key = std::uint64_t;

// Smaller for less certain cells, among equal ones for those that come first, so that all keys differ.
Key key_of(float certain, std::int64_t place) {
  const std::uint32_t rank = std::isnan(certain) ? 0 : std::bit_cast<std::uint32_t>(certain) + 1;
  return Key{rank} << 32 | static_cast<std::uint32_t>(place);
}

// Their number must not depend on the threads: the scratch memory is asked for before they are known.
std::int64_t task_count(std::int64_t rows) { return std::min<std::int64_t>(rows, 32); }

struct Map {
  const float* x;
  std::int64_t channels, height, width;
  Strides4 strides;

  std::int64_t cells() const { return height * width; }
};

void choose(const Map& map, std::int64_t row, std::int64_t count, Key* keys, std::int32_t* places, float* points) {
  const float* x = map.x + row * map.strides.n;
  for (std::int64_t i = 0, place = 0; i < map.height; ++i)
    for (std::int64_t j = 0; j < map.width; ++j, ++place)
      keys[place] = key_of(certainty(x + i * map.strides.h + j * map.strides.w, map.channels, map.strides.c), place);
  if (count < map.cells()) std::nth_element(keys, keys + count, keys + map.cells());
  for (std::int64_t k = 0; k < count; ++k) places[k] = static_cast<std::int32_t>(keys[k] & 0xFFFFFFFFU);
  std::sort(places, places + count);
  for (std::int64_t k = 0; k < count; ++k) {
    points[2 * k] = middle(places[k] % map.width, map.width);
    points[2 * k + 1] = middle(places[k] / map.width, map.height);
  }
}

void run(const UncertainPoints::Params&, const Call& call) {
  const Tensor& x = call.input(0);
  const Map map{call.in<float>(0), x.dim(1), x.dim(2), x.dim(3), strides4(x.type())};
  const std::int64_t rows = x.dim(0), count = call.output(0).dim(1), tasks = task_count(rows);
  if (rows == 0 || count == 0) return;
  Scratch scratch(call.scratch);
  Key* keys = scratch.take<Key>(tasks * map.cells());
  parallel_for(tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task)
      for (std::int64_t row = rows * task / tasks; row < rows * (task + 1) / tasks; ++row)
        choose(map, row, count, keys + task * map.cells(), call.out<std::int32_t>(0) + row * count,
               call.out<float>(1) + row * count * 2);
  });
}

}  // namespace

template <>
Kernels<UncertainPoints> kernels<UncertainPoints, Backend::cpu>() {
  return {{.name = "select_f32",
           .reject = accepts_all<UncertainPoints>,
           .run = run,
           .prepare = [](const UncertainPoints::Params&, const CallSite& site) {
             const Shape& x = site.inputs[0].shape;
             Scratch scratch;
             (void)scratch.take<Key>(checked_product(task_count(x[0]), x.size(2, 4)));
             Prepared prepared;
             prepared.scratch_bytes = scratch.bytes();
             return prepared;
           }}};
}

}  // namespace d2deploy
