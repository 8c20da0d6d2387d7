#include "operators/constant_fill/constant_fill.h"

#include "operators/elementwise_cuda.h"

namespace d2deploy {

namespace {

using namespace simt;

template <class T>
SIMT_KERNEL fill(T* y, std::int64_t count, T value) {
  for (std::int64_t i = first_item(); i < count; i += item_step()) y[i] = value;
}

void run(const ConstantFill::Params& p, const Call& call) {
  const std::int64_t count = call.output(0).size();
  if (count == 0) return;
  with_element_type(call.output(0).dtype(), [&]<class T>(T) {
    if constexpr (!kReal<T> || std::is_same_v<T, float>)  // no fill makes the others
      launch("ConstantFill", fill<T>, {blocks_for(count, kElementThreads), kElementThreads, 0, stream_of(call)},
             device_out<T>(call, 0), count, constant_fill_element<T>(p.value));
  });
}

}  // namespace

template <>
Kernels<ConstantFill> kernels<ConstantFill, Backend::cuda>() {
  return {{"fill", accepts_all<ConstantFill>, run}};
}

}  // namespace d2deploy
