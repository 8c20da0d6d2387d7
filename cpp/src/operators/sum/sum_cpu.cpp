#include "operators/sum/sum.h"

#include <algorithm>

#include "core/threads.h"
#include "operators/binary.h"

namespace d2deploy {

namespace {

// Elements that are summed before they are written, so that Y may be any of the inputs.
constexpr std::int64_t kTile = 1024;

template <class T>
void run_typed(const Call& call) {
  T* y = call.out<T>(0);
  parallel_for(call.output(0).size(), 1 << 15, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t at = begin; at < end; at += kTile) {
      const std::int64_t n = std::min(kTile, end - at);
      T sum[kTile];
      std::copy_n(call.in<T>(0) + at, n, sum);
      for (std::size_t k = 1; k < call.inputs.size(); ++k) {
        const T* x = call.in<T>(k) + at;
        for (std::int64_t i = 0; i < n; ++i) sum[i] = wrapping(sum[i], x[i], [](auto a, auto b) { return a + b; });
      }
      std::copy_n(sum, n, y + at);
    }
  });
}

void run(const NoParams&, const Call& call) {
  switch (call.output(0).dtype()) {
    case DType::float32: return run_typed<float>(call);
    case DType::int32: return run_typed<std::int32_t>(call);
    case DType::int64: return run_typed<std::int64_t>(call);
    default: fail<InternalError>("Sum: no loop for ", call.output(0).dtype());
  }
}

}  // namespace

template <>
Kernels<Sum> kernels<Sum, Backend::cpu>() {
  return {{"tiles", accepts_all<Sum>, run}};
}

}  // namespace d2deploy
