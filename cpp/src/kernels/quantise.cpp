#include "kernels/quantise.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/element_type.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

constexpr std::int64_t kGrain = 1 << 15;

// Added to a number below 2^22 and taken away again it leaves the nearest whole one, the even one of two. Compilers
// make vectors of this, not of nearbyint.
constexpr float kShift = 0x1.8p23F;

struct Runs {
  std::int64_t before, channels, after;
};
Runs runs_of(const Shape& shape, std::size_t axis) {
  return {shape.size(0, axis), shape[axis], shape.size(axis + 1, shape.rank())};
}

// f(channel, index of its first element) for all that lie side by side.
template <class F>
void for_each_run(const Runs& runs, const F& f) {
  parallel_for(runs.channels, 1 + kGrain / (1 + runs.before * runs.after), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c)
      for (std::int64_t b = 0; b < runs.before; ++b)
        f(static_cast<std::size_t>(c), (b * runs.channels + c) * runs.after);
  });
}

// The largest magnitude of finite numbers; without their signs, bits are in the order of what they stand for.
float largest(const float* x, std::int64_t count) {
  std::int32_t most = 0;
  for (std::int64_t i = 0; i < count; ++i) most = std::max(most, std::bit_cast<std::int32_t>(x[i]) & 0x7FFFFFFF);
  return std::bit_cast<float>(most);
}

}  // namespace

std::vector<float> weight_scales(const Tensor& weights, std::size_t axis) {
  const Runs runs = runs_of(weights.shape(), axis);
  const float* w = weights.data<float>();
  std::vector<float> scales(static_cast<std::size_t>(runs.channels));
  for_each_run(runs,
               [&](std::size_t c, std::int64_t at) { scales[c] = std::max(scales[c], largest(w + at, runs.after)); });
  // Channels that training let decay become 0 where their scale would be no normal number, or 0.
  constexpr float kLeast = std::numeric_limits<float>::min();
  for (float& s : scales) {
    s /= most_quanta(DType::int8);
    if (!(s >= kLeast)) s = 1;
  }
  return scales;
}

void round_weights(Tensor& weights, std::size_t axis) {
  const auto scales = weight_scales(weights, axis);
  float* w = weights.data<float>();
  const Runs runs = runs_of(weights.shape(), axis);
  for_each_run(runs, [&](std::size_t c, std::int64_t at) {
    const float s = scales[c];
    for (std::int64_t i = at; i < at + runs.after; ++i) w[i] = s * (w[i] / s + kShift - kShift);
  });
}

Tensor rounded_weights(const Tensor& weights, std::size_t axis) {
  Tensor rounded = weights.clone();
  round_weights(rounded, axis);
  return rounded;
}

}  // namespace d2deploy
