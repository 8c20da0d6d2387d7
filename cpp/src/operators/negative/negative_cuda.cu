#include "operators/binary.h"
#include "operators/elementwise_cuda.h"
#include "operators/negative/negative.h"

namespace d2deploy {

namespace {

struct Negated {
  SIMT_DEVICE float operator()(float x) const { return -x; }
  template <class T>
  SIMT_DEVICE T operator()(T x) const {
    return Minus()(T{0}, x);
  }
};

void run(const NoParams&, const Call& call) {
  switch (call.output(0).dtype()) {
    case DType::int32: return launch_map<std::int32_t>("Negative", call, Negated{});
    case DType::int64: return launch_map<std::int64_t>("Negative", call, Negated{});
    default: launch_map<float>("Negative", call, Negated{});
  }
}

}  // namespace

template <>
Kernels<Negative> kernels<Negative, Backend::cuda>() {
  return {{"map", accepts_all<Negative>, run}};
}

}  // namespace d2deploy
