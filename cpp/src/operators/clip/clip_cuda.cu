#include "operators/clip/clip.h"

#include "operators/elementwise_cuda.h"

namespace d2deploy {

namespace {

struct Clipped {
  float min, max;
  SIMT_DEVICE float operator()(float x) const {
    const float raised = x < min ? min : x;
    return raised > max ? max : raised;
  }
};

}  // namespace

template <>
Kernels<Clip> kernels<Clip, Backend::cuda>() {
  return {{"map_f32", accepts_all<Clip>, [](const Clip::Params& p, const Call& call) {
             launch_map<float>("Clip", call, Clipped{p.min, p.max});
           }}};
}

}  // namespace d2deploy
