#include "operators/transpose/transpose.h"

#include <cstring>

#include "core/element_type.h"
#include "core/threads.h"

namespace d2deploy {

namespace {

using Steps = std::array<std::int64_t, Shape::kMaxRank>;

// Elements from one index to the next, per logical dimension.
Steps steps(const TensorType& type) {
  if (type.layout == Layout::channels_last) {
    const Strides4 s = strides4(type);
    return {s.n, s.c, s.h, s.w};
  }
  Steps out{};
  std::int64_t step = 1;
  for (std::size_t d = type.shape.rank(); d-- > 0; step *= type.shape[d]) out[d] = step;
  return out;
}

// Nested loops that walk Y in the order of its memory, outermost first; x: steps in X.
struct Loops {
  std::size_t count = 0;
  Steps size{}, x{};

  void add(std::int64_t n, std::int64_t x_step) {
    if (n == 1) return;
    if (count > 0 && x[count - 1] == x_step * n)  // walks X like one loop with the last
      size[count - 1] *= n;
    else
      size[count++] = n;
    x[count - 1] = x_step;
  }
};

Loops loops_of(const Transpose::Params& p, const TensorType& x, const TensorType& y) {
  const std::size_t rank = y.shape.rank();
  const auto order = Transpose::axes(p, rank);
  const Steps from = steps(x);
  constexpr std::size_t kChannelsLast[] = {0, 2, 3, 1};
  Loops loops;
  for (std::size_t i = 0; i < rank; ++i) {
    const std::size_t d = y.layout == Layout::channels_last ? kChannelsLast[i] : i;
    loops.add(y.shape[d], from[order[d]]);
  }
  return loops;
}

// Rows are the innermost loop. Rows that are neighbours in X are made together, so that each line of the cache that
// a strided row touches serves them all.
template <class T>
void copy(const Loops& loops, const T* x, std::int64_t size, T* y) {
  const std::size_t inner = loops.count == 0 ? 0 : loops.count - 1;
  const std::int64_t row = loops.count == 0 ? 1 : loops.size[inner], step = loops.count == 0 ? 1 : loops.x[inner];
  constexpr std::int64_t kGrain = 1 << 14, kTogether = 16;
  parallel_for(size / row, kGrain / row + 1, [&](std::int64_t begin, std::int64_t end) {
    const auto offset = [&](std::int64_t r) {
      std::int64_t at = 0;
      for (std::size_t d = inner; d-- > 0; r /= loops.size[d]) at += r % loops.size[d] * loops.x[d];
      return at;
    };
    for (std::int64_t r = begin; r < end; r += kTogether) {
      const std::int64_t count = std::min(kTogether, end - r);
      const T* from[kTogether];
      for (std::int64_t k = 0; k < count; ++k) from[k] = x + offset(r + k);
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
    copy(loops_of(p, x.type(), y.type()), static_cast<const T*>(x.raw()), x.size(), static_cast<T*>(y.raw()));
  });
}

}  // namespace

template <>
Kernels<Transpose> kernels<Transpose, Backend::cpu>() {
  return {{"loops", accepts_all<Transpose>, run}};
}

}  // namespace d2deploy
