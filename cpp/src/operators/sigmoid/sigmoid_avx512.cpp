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

std::string reject(const NoParams&, const CallSite&) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") ? "" : "this CPU has no AVX-512";
}

}  // namespace

template <>
Kernels<Sigmoid> kernels<Sigmoid, Backend::avx512>() {
  return {{"loop_f32_avx512", reject, run}};
}

}  // namespace d2deploy
