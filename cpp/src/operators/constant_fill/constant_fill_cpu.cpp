#include "operators/constant_fill/constant_fill.h"

#include "core/threads.h"

namespace d2deploy {

namespace {

void run(const ConstantFill::Params& p, const Call& call) {
  with_element_type(call.output(0).dtype(), [&]<class T>(T) {
    const T value = constant_fill_element<T>(p.value);
    T* y = call.out<T>(0);
    parallel_for(call.output(0).size(), 1 << 16,
                 [&](std::int64_t begin, std::int64_t end) { std::fill(y + begin, y + end, value); });
  });
}

}  // namespace

template <>
Kernels<ConstantFill> kernels<ConstantFill, Backend::cpu>() {
  return {{"fill", accepts_all<ConstantFill>, run}};
}

}  // namespace d2deploy
