#include "operators/transpose/transpose.h"

#include <cstring>

#include "core/element_type.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

// Rows are the innermost loop. Rows that are neighbours in X are made together, so that each line of the cache that
// a strided row touches serves them all.
template <class T>
void copy(const Loops& loops, const T* x, std::int64_t size, T* y) {
  const std::size_t inner = loops.count == 0 ? 0 : loops.count - 1;
  const std::int64_t row = loops.count == 0 ? 1 : loops.size[inner], step = loops.count == 0 ? 1 : loops.a[inner];
  constexpr std::int64_t kGrain = 1 << 14, kTogether = 16;
  parallel_for(size / row, kGrain / row + 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; r += kTogether) {
      const std::int64_t count = std::min(kTogether, end - r);
      const T* from[kTogether];
      for (std::int64_t k = 0; k < count; ++k) from[k] = x + loops.at(r + k, inner).a;
      if (step == 1) {
        for (std::int64_t k = 0; k < count; ++k)
          std::memcpy(y + (r + k) * row, from[k], static_cast<std::size_t>(row) * sizeof(T));
        continue;
      }
      for (std::int64_t i = 0; i < row; ++i)
        for (std::int64_t k = 0; k < count; ++k) y[(r + k) * row + i] = from[k][i * step];
    }
  });
}

void run(const Transpose::Params& p, const Call& call) {
  const Tensor& x = call.input(0);
  if (x.size() == 0) return;
  Tensor& y = call.output(0);
  with_element_bytes(x.dtype(), [&]<class T>(T) {
    copy(Transpose::loops(p, x.type(), y.type()), static_cast<const T*>(x.raw()), x.size(), static_cast<T*>(y.raw()));
  });
}

}  // namespace

template <>
Kernels<Transpose> kernels<Transpose, Backend::cpu>() {
  return {{"loops", accepts_all<Transpose>, run}};
}

}  // namespace d2deploy
