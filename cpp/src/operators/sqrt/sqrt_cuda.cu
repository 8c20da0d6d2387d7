#include "operators/sqrt/sqrt.h"

#include <cmath>

#include "operators/elementwise_cuda.h"

namespace d2deploy {

namespace {

struct SquareRoot {
  SIMT_DEVICE float operator()(float x) const { return std::sqrt(x); }
};

}  // namespace

template <>
Kernels<Sqrt> kernels<Sqrt, Backend::cuda>() {
  return {{"map_f32", accepts_all<Sqrt>,
           [](const NoParams&, const Call& call) { launch_map<float>("Sqrt", call, SquareRoot{}); }}};
}

}  // namespace d2deploy
