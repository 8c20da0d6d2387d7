#include "kernels/scratch.h"
#include "operators/scale_shift_cuda.h"
#include "operators/spatial_bn/spatial_bn.h"

namespace d2deploy {

namespace {

using namespace simt;

struct Lines {
  const float *scale = nullptr, *bias = nullptr, *mean = nullptr, *var = nullptr;
  float epsilon;
  std::int64_t channels;
  float *factors, *shifts;

  Lines(const SpatialBN::Params& p, Scratch& scratch, std::int64_t channels_)
      : epsilon(p.epsilon),
        channels(channels_),
        factors(scratch.take<float>(channels_)),
        shifts(scratch.take<float>(channels_)) {}
};

SIMT_KERNEL find_lines(Lines lines) {
  for (std::int64_t c = first_item(); c < lines.channels; c += item_step()) {
    const auto line = SpatialBN::line(lines.epsilon, lines.scale[c], lines.bias[c], lines.mean[c], lines.var[c]);
    lines.factors[c] = static_cast<float>(line.factor);
    lines.shifts[c] = static_cast<float>(line.shift);
  }
}

Prepared prepare(const SpatialBN::Params& p, const CallSite& site) {
  Scratch scratch;
  (void)Lines(p, scratch, site.inputs[1].shape[0]);
  Prepared prepared;
  prepared.scratch_bytes = scratch.bytes();
  return prepared;
}

void run(const SpatialBN::Params& p, const Call& call) {
  Scratch scratch(call.scratch);
  Lines lines(p, scratch, call.input(1).dim(0));
  lines.scale = device_in<float>(call, 1);
  lines.bias = device_in<float>(call, 2);
  lines.mean = device_in<float>(call, 3);
  lines.var = device_in<float>(call, 4);
  launch("SpatialBN: find_lines", find_lines,
         {blocks_for(lines.channels, kElementThreads), kElementThreads, 0, stream_of(call)}, lines);
  launch_scale_shift("SpatialBN", Maps::of(call.input(0).type()), {lines.factors, lines.shifts},
                     device_in<float>(call, 0), device_out<float>(call, 0), stream_of(call));
}

}  // namespace

template <>
Kernels<SpatialBN> kernels<SpatialBN, Backend::cuda>() {
  return {{"scale_shift_f32", accepts_all<SpatialBN>, run, prepare}};
}

}  // namespace d2deploy
