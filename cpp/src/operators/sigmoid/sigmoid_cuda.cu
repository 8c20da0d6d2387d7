#include "kernels/exp.h"
#include "operators/elementwise_cuda.h"
#include "operators/sigmoid/sigmoid.h"

namespace d2deploy {

namespace {

struct SigmoidOf {
  SIMT_DEVICE float operator()(float x) const { return sigmoid(x); }
};

}  // namespace

template <>
Kernels<Sigmoid> kernels<Sigmoid, Backend::cuda>() {
  return {{"map_f32", accepts_all<Sigmoid>,
           [](const NoParams&, const Call& call) { launch_map<float>("Sigmoid", call, SigmoidOf{}); }}};
}

}  // namespace d2deploy
