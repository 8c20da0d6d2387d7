#include "operators/exp/exp.h"

#include <cmath>

#include "operators/elementwise_cuda.h"

namespace d2deploy {

namespace {

struct Exponential {
  SIMT_DEVICE float operator()(float x) const { return std::exp(x); }
};

}  // namespace

template <>
Kernels<Exp> kernels<Exp, Backend::cuda>() {
  return {{"map_f32", accepts_all<Exp>,
           [](const NoParams&, const Call& call) { launch_map<float>("Exp", call, Exponential{}); }}};
}

}  // namespace d2deploy
