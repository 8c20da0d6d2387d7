// Loops over two operands that are spread over one output: the smaller one's elements are read again
// wherever it has size 1 or no dimension.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include "core/threads.h"
#include "d2deploy/tensor.h"
#include "kernels/loops.h"

namespace d2deploy {

/// The loops of one call, at least one, in the order in which the output lies in memory: equal types give one, and so
/// does a scalar operand. `a_offset`, `b_offset`: the output's dimension that the operand's first one belongs to.
Loops broadcast(const TensorType& out, const TensorType& a, std::size_t a_offset, const TensorType& b,
                std::size_t b_offset);

namespace detail {

// An output that is exactly one of the operands (in place) is fine: no element is read after another's write.
template <class T, class F>
void broadcast_row(const T* a, std::int64_t a_step, const T* b, std::int64_t b_step, T* c, std::int64_t n, F f) {
  if (a_step == 1 && b_step == 1) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) c[i] = f(a[i], b[i]);
  } else if (a_step == 1 && b_step == 0) {
    const T value = *b;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) c[i] = f(a[i], value);
  } else if (a_step == 0 && b_step == 1) {
    const T value = *a;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) c[i] = f(value, b[i]);
  } else {
    for (std::int64_t i = 0; i < n; ++i) c[i] = f(a[i * a_step], b[i * b_step]);
  }
}

constexpr std::int64_t kBroadcastGrain = 1 << 15;  // elements
constexpr std::int64_t kTile = 512;                // elements

// c[r][i] = f(a[r][i], row[i]) with short rows, such as the three channels of an image: the row is
// repeated in a tile so that the inner loop is long.
template <class T, class F>
void broadcast_short_row(const T* a, const T* row, T* c, std::int64_t rows, std::int64_t length, F f) {
  std::array<T, kTile> tile;
  const std::int64_t step = kTile / length * length;
  for (std::int64_t i = 0; i < step; ++i) tile[static_cast<std::size_t>(i)] = row[i % length];
  parallel_for(rows, kBroadcastGrain / length, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * length; i < end * length; i += step)
      broadcast_row(a + i, 1, tile.data(), 1, c + i, std::min(step, end * length - i), f);
  });
}

}  // namespace detail

/// c = f(a, b), element by element. c may be the memory of an operand of exactly its type.
template <class T, class F>
void for_each_pair(const Loops& loops, const T* a, const T* b, T* c, F f) {
  const std::size_t last = loops.count - 1;
  const std::int64_t inner = loops.size[last], a_step = loops.a[last], b_step = loops.b[last];
  const std::int64_t total = loops.total();
  if (total == 0) return;
  if (loops.count == 2 && inner <= detail::kTile / 8 && a_step == 1 && b_step == 1) {
    if (loops.a[0] == inner && loops.b[0] == 0) return detail::broadcast_short_row(a, b, c, loops.size[0], inner, f);
    if (loops.b[0] == inner && loops.a[0] == 0)
      return detail::broadcast_short_row(b, a, c, loops.size[0], inner, [f](T y, T x) { return f(x, y); });
  }
  parallel_for(total, detail::kBroadcastGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end;) {
      const std::int64_t start = i % inner, n = std::min(inner - start, end - i);
      const Loops::Offsets at = loops.at(i / inner, last);
      detail::broadcast_row(a + at.a + start * a_step, a_step, b + at.b + start * b_step, b_step, c + i, n, f);
      i += n;
    }
  });
}

}  // namespace d2deploy
