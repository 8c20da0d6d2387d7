#include "operators/sigmoid/sigmoid.h"

#include "core/threads.h"
#include "kernels/exp.h"

namespace d2deploy {

namespace {

void run(const NoParams&, const Call& call) {
  const float* x = call.in<float>(0);
  float* y = call.out<float>(0);
  parallel_for(call.input(0).size(), 1 << 14, [&](std::int64_t begin, std::int64_t end) {
#pragma GCC ivdep
    for (std::int64_t i = begin; i < end; ++i) y[i] = sigmoid(x[i]);
  });
}

}  // namespace

template <>
Kernels<Sigmoid> kernels<Sigmoid, Backend::cpu>() {
  return {{"loop_f32", accepts_all<Sigmoid>, run}};
}

}  // namespace d2deploy
