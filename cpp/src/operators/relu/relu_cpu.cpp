#include "operators/relu/relu.h"

#include "core/element_type.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

void run(const NoParams&, const Call& call) {
  with_real_type(call.input(0).dtype(), [&]<class T>(T) {
    const T* x = call.in<T>(0);
    T* y = call.out<T>(0);
    parallel_for(call.input(0).size(), 1 << 15, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) y[i] = static_cast<float>(x[i]) < 0.0F ? T(0.0F) : x[i];
    });
  });
}

}  // namespace

template <>
Kernels<Relu> kernels<Relu, Backend::cpu>() {
  return {{.name = "loop", .reject = accepts_all<Relu>, .run = run, .takes = Takes::any_real}};
}

}  // namespace d2deploy
