#include "operators/relu/relu.h"

#include "operators/elementwise_cuda.h"

namespace d2deploy {

namespace {

struct AtLeastZero {
  SIMT_DEVICE float operator()(float x) const { return x < 0.0F ? 0.0F : x; }
};

}  // namespace

template <>
Kernels<Relu> kernels<Relu, Backend::cuda>() {
  return {{"map_f32", accepts_all<Relu>,
           [](const NoParams&, const Call& call) { launch_map<float>("Relu", call, AtLeastZero{}); }}};
}

}  // namespace d2deploy
