// What the kernels of Sigmoid share.
#pragma once
#include "core/threads.h"
#include "kernels/sigmoid.h"
#include "operators/sigmoid/sigmoid.h"

namespace d2deploy {

template <void (*loop)(const float* x, std::int64_t n, float* y)>
void run_sigmoid(const NoParams&, const Call& call) {
  const float* x = call.in<float>(0);
  float* y = call.out<float>(0);
  parallel_for(call.input(0).size(), 1 << 14,
               [&](std::int64_t begin, std::int64_t end) { loop(x + begin, end - begin, y + begin); });
}

}  // namespace d2deploy
