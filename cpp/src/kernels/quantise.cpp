#include "kernels/quantise.h"

#include <algorithm>
#include <bit>

#include "core/check.h"
#include "core/element_type.h"
#include "core/threads.h"
#include "kernels/convert.h"

namespace d2deploy {

namespace {

constexpr std::int64_t kGrain = 1 << 15;

// Added to a number below 2^22 it leaves the nearest whole one, the even one of two, in the low bits. Compilers make
// vectors of this, not of nearbyint, lrint and fmax.
constexpr float kShift = 0x1.8p23F;

template <class Q>
void quantise(const float* x, float scale, Q* y, std::int64_t count) {
  const float inverse = 1 / scale, least = std::is_signed_v<Q> ? -127.0F : 0.0F;
  const float most = most_quanta(kDType<Q>);
  parallel_for(count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const float v = x[i] * inverse;
      const float number = v == v ? v : 0.0F;
      const float low = number > least ? number : least;
      const float inside = low < most ? low : most;
      y[i] = static_cast<Q>(std::bit_cast<std::int32_t>(inside + kShift) - std::bit_cast<std::int32_t>(kShift));
    }
  });
}

template <class Q>
void dequantise(const Q* x, float scale, float* y, std::int64_t count) {
  parallel_for(count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = scale * static_cast<float>(x[i]);
  });
}

// f gets a number of the C++ type of quantised ones.
template <class F>
void with_quantised_type(const TensorType& type, const F& f) {
  check<InternalError>(size_of(type.dtype) == 1, "quantised numbers are int8 or uint8, got ", type.dtype);
  if (type.dtype == DType::uint8) return f(std::uint8_t());
  f(std::int8_t());
}

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

void convert(const Tensor& x, Tensor& y) {
  const bool from = is_quantised(x.type()), to = is_quantised(y.type());
  if (!from && !to) return convert(x.dtype(), x.raw(), y.dtype(), y.raw(), x.size());
  const DType real = from ? y.dtype() : x.dtype();
  check<InternalError>(real == DType::float32, "convert: quantised numbers come from float32 and become it, not ",
                       real);
  const TensorType& type = from ? x.type() : y.type();
  with_quantised_type(type, [&]<class Q>(Q) {
    if (from)
      dequantise(static_cast<const Q*>(x.raw()), type.scale, y.data<float>(), x.size());
    else
      quantise(x.data<float>(), type.scale, static_cast<Q*>(y.raw()), x.size());
  });
}

std::vector<float> weight_scales(const Tensor& weights, std::size_t axis) {
  const Runs runs = runs_of(weights.shape(), axis);
  const float* w = weights.data<float>();
  std::vector<float> scales(static_cast<std::size_t>(runs.channels));
  for_each_run(runs,
               [&](std::size_t c, std::int64_t at) { scales[c] = std::max(scales[c], largest(w + at, runs.after)); });
  for (float& s : scales) s = s > 0 ? s / most_quanta(DType::int8) : 1.0F;
  return scales;
}

Tensor rounded_weights(const Tensor& weights, std::size_t axis) {
  Tensor rounded = Tensor::allocate(weights.type());
  const Runs runs = runs_of(weights.shape(), axis);
  const auto scales = weight_scales(weights, axis);
  const float* w = weights.data<float>();
  float* r = rounded.data<float>();
  for_each_run(runs, [&](std::size_t c, std::int64_t at) {
    const float s = scales[c];
    for (std::int64_t i = at; i < at + runs.after; ++i) r[i] = s * (w[i] / s + kShift - kShift);
  });
  return rounded;
}

}  // namespace d2deploy
