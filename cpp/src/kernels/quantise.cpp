#include "kernels/quantise.h"

#include <algorithm>
#include <cmath>

#include "core/element_type.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

constexpr std::int64_t kGrain = 1 << 15;

struct Runs {
  std::int64_t before, channels, after;
};
Runs runs_of(const Shape& shape, std::size_t axis) {
  return {shape.size(0, axis), shape[axis], shape.size(axis + 1, shape.rank())};
}

// f(channel, index of an element) for all elements.
template <class F>
void for_each_channel(const Runs& runs, const F& f) {
  parallel_for(runs.channels, 1 + kGrain / (1 + runs.before * runs.after), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c)
      for (std::int64_t b = 0; b < runs.before; ++b)
        for (std::int64_t a = 0; a < runs.after; ++a) f(c, (b * runs.channels + c) * runs.after + a);
  });
}

}  // namespace

std::vector<float> weight_scales(const Tensor& weights, std::size_t axis) {
  const Runs runs = runs_of(weights.shape(), axis);
  const float* w = weights.data<float>();
  std::vector<float> scales(static_cast<std::size_t>(runs.channels));
  for_each_channel(runs, [&](std::int64_t c, std::int64_t i) {
    float& most = scales[static_cast<std::size_t>(c)];
    most = std::max(most, std::fabs(w[i]));
  });
  for (float& s : scales) s = s > 0 ? s / most_quanta(DType::int8) : 1.0F;
  return scales;
}

Tensor rounded_weights(const Tensor& weights, std::size_t axis) {
  Tensor rounded = Tensor::allocate(weights.type());
  const auto scales = weight_scales(weights, axis);
  const float* w = weights.data<float>();
  float* r = rounded.data<float>();
  for_each_channel(runs_of(weights.shape(), axis), [&](std::int64_t c, std::int64_t i) {
    const float s = scales[static_cast<std::size_t>(c)];
    r[i] = s * std::nearbyint(w[i] / s);
  });
  return rounded;
}

}  // namespace d2deploy
