#include <cmath>

#include "operators/binary_cuda.h"
#include "operators/pow/pow.h"

namespace d2deploy {

namespace {

struct Reciprocal {
  SIMT_DEVICE float operator()(float x) const { return 1.0F / x; }
};
struct Square {
  SIMT_DEVICE float operator()(float x) const { return x * x; }
};
struct Power {
  SIMT_DEVICE float operator()(float x, float exponent) const { return std::pow(x, exponent); }
};
struct FixedPower {
  float exponent;
  SIMT_DEVICE float operator()(float x) const { return std::pow(x, exponent); }
};

void run(const Pow::Params& p, const Call& call) {
  if (call.has_input(1)) return launch_binary<float>("Pow", p, call, Power{});
  if (p.exponent == -1.0F) return launch_map<float>("Pow", call, Reciprocal{});
  if (p.exponent == 2.0F) return launch_map<float>("Pow", call, Square{});
  launch_map<float>("Pow", call, FixedPower{p.exponent});
}

}  // namespace

template <>
Kernels<Pow> kernels<Pow, Backend::cuda>() {
  return {{"spread_f32", accepts_all<Pow>, run}};
}

}  // namespace d2deploy
