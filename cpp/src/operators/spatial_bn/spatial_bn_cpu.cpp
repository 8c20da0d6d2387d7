#include "operators/spatial_bn/spatial_bn.h"

#include "kernels/scale_shift.h"
#include "kernels/scratch.h"
#include "operators/planned_scratch.h"

namespace d2deploy {

namespace {

struct Work {
  float *scale, *shift;

  Work(Scratch& scratch, std::int64_t channels)
      : scale(scratch.take<float>(channels)), shift(scratch.take<float>(channels)) {}
};

std::size_t scratch_bytes(std::int64_t channels) {
  Scratch scratch;
  (void)Work(scratch, channels);
  return scratch.bytes();
}

Prepared prepare(const SpatialBN::Params&, const CallSite& site) {
  const std::int64_t channels = site.inputs[1].shape[0];
  return plan_scratch(channels == kUnknown ? 0 : scratch_bytes(channels));
}

void run(const SpatialBN::Params& p, const Call& call) {
  const std::int64_t channels = call.input(1).dim(0);
  const CallScratch memory(call, scratch_bytes(channels));
  Scratch arrays(memory.get());
  const Work work(arrays, channels);
  const float *scale = call.in<float>(1), *bias = call.in<float>(2), *mean = call.in<float>(3),
              *var = call.in<float>(4);
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto line = SpatialBN::line(p.epsilon, scale[c], bias[c], mean[c], var[c]);
    work.scale[c] = static_cast<float>(line.factor);
    work.shift[c] = static_cast<float>(line.shift);
  }
  scale_shift(Maps::of(call.input(0).type()), {work.scale, work.shift}, call.in<float>(0), call.out<float>(0));
}

}  // namespace

template <>
Kernels<SpatialBN> kernels<SpatialBN, Backend::cpu>() {
  return {{"scale_shift_f32", accepts_all<SpatialBN>, run, prepare}};
}

}  // namespace d2deploy
