#include "operators/sum/sum.h"

#include <algorithm>

#include "core/element_type.h"
#include "core/threads.h"
#include "operators/binary.h"

namespace d2deploy {

namespace {

// Elements that are summed before they are written, so that Y may be any of the inputs.
constexpr std::int64_t kTile = 1024;

// Real numbers are summed in float, and rounded once.
template <class T>
using SumOf = std::conditional_t<kReal<T>, float, T>;

template <class T>
void run_typed(const Call& call) {
  using S = SumOf<T>;
  T* y = call.out<T>(0);
  parallel_for(call.output(0).size(), 1 << 15, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t at = begin; at < end; at += kTile) {
      const std::int64_t n = std::min(kTile, end - at);
      S sum[kTile];
      const T* first = call.in<T>(0) + at;
      for (std::int64_t i = 0; i < n; ++i) sum[i] = static_cast<S>(first[i]);
      for (std::size_t k = 1; k < call.inputs.size(); ++k) {
        const T* x = call.in<T>(k) + at;
        for (std::int64_t i = 0; i < n; ++i)
          sum[i] = wrapping(sum[i], static_cast<S>(x[i]), [](auto a, auto b) { return a + b; });
      }
      for (std::int64_t i = 0; i < n; ++i) y[at + i] = static_cast<T>(sum[i]);
    }
  });
}

void run(const NoParams&, const Call& call) {
  switch (call.output(0).dtype()) {
    case DType::float32: return run_typed<float>(call);
    case DType::bfloat16: return run_typed<BFloat16>(call);
    case DType::float16: return run_typed<Float16>(call);
    case DType::int32: return run_typed<std::int32_t>(call);
    case DType::int64: return run_typed<std::int64_t>(call);
    default: fail<InternalError>("Sum: no loop for ", call.output(0).dtype());
  }
}

}  // namespace

template <>
Kernels<Sum> kernels<Sum, Backend::cpu>() {
  return {{.name = "tiles", .reject = accepts_all<Sum>, .run = run, .takes = Takes::any_real}};
}

}  // namespace d2deploy
