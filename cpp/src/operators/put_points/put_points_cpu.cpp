#include "operators/put_points/put_points.h"

#include <cstring>

#include "core/threads.h"

namespace d2deploy {

namespace {

void run(const NoParams&, const Call& call) {
  const Tensor &x = call.input(0), &values = call.input(2);
  Tensor& y = call.output(0);
  if (y.raw() != x.raw() && x.size() > 0) std::memcpy(y.raw(), x.raw(), static_cast<std::size_t>(x.bytes()));
  const std::int64_t count = call.input(1).dim(1), channels = x.dim(1), height = x.dim(2), width = x.dim(3);
  const auto* places = call.in<std::int32_t>(1);
  for (std::int64_t i = 0; i < x.dim(0) * count; ++i) PutPoints::check_place(i, places[i], height * width);
  const Strides4 to = strides4(y.type()), from = strides4(values.type());
  const float* value = call.in<float>(2);
  float* out = call.out<float>(0);
  constexpr std::int64_t kGrain = 1 << 14;  // elements
  parallel_for(x.dim(0), kGrain / (count * channels + 1) + 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t k = 0; k < count; ++k) {
        const std::int64_t place = places[row * count + k], columns = values.dim(3);
        float* cell = out + row * to.n + place / width * to.h + place % width * to.w;
        const float* put = value + row * from.n + k / columns * from.h + k % columns * from.w;
        for (std::int64_t c = 0; c < channels; ++c) cell[c * to.c] = put[c * from.c];
      }
  });
}

}  // namespace

template <>
Kernels<PutPoints> kernels<PutPoints, Backend::cpu>() {
  return {{"copy_f32", accepts_all<PutPoints>, run, [](const NoParams&, const CallSite&) {
             Prepared prepared;
             prepared.accumulates = 0;
             return prepared;
           }}};
}

}  // namespace d2deploy
