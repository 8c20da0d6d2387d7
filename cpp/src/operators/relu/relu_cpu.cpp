#include "operators/relu/relu.h"

#include "core/threads.h"

namespace d2deploy {

template <>
Kernels<Relu> kernels<Relu, Backend::cpu>() {
  return {{"loop_f32", accepts_all<Relu>, [](const NoParams&, const Call& call) {
             const float* x = call.in<float>(0);
             float* y = call.out<float>(0);
             parallel_for(call.input(0).size(), 1 << 15, [&](std::int64_t begin, std::int64_t end) {
               for (std::int64_t i = begin; i < end; ++i) y[i] = x[i] < 0.0f ? 0.0f : x[i];
             });
           }}};
}

}  // namespace d2deploy
