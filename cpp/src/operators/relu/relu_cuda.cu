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
  return {{.name = "map",
           .reject = accepts_all<Relu>,
           .run = [](const NoParams&, const Call& call) { launch_real_map("Relu", call, AtLeastZero{}); },
           .takes = Takes::any_real}};
}

}  // namespace d2deploy
