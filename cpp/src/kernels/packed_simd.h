// The packed product in vectors of a chosen instruction set: see packed_vector.h for what may stand here.
#pragma once
#include "kernels/packed.h"
#include "kernels/packed_vector.h"

namespace d2deploy {
namespace {

// What is called into the second-level cache meanwhile: `step` floats further at each step of k.
struct Ahead {
  const float* at;
  std::int64_t step;
  void go() {
    __builtin_prefetch(at, 0, 2);
    at += step;
  }
};

// Where `count` steps of k call ahead from, of `floats` floats at `from`, if they have come to `done` of them. No
// address beyond them is formed.
inline Ahead ahead(const float* from, std::int64_t floats, std::int64_t done, std::int64_t step, std::int64_t count) {
  const std::int64_t last = floats - count * step;
  if (last < 0) return {from, 0};
  return {from + (done < last ? done : last), step};
}

// One block of sums: `chunks` times `width` steps of k. Never inlined: it would lose registers to its caller.
template <class R>
[[gnu::noinline]] void micro_kernel(const float* a, const float* b, std::int64_t chunks, float* c, bool accumulate,
                                    Ahead next_a, Ahead next_b) {
  using Vector = typename R::Vector;
  Vector sum[R::rows][R::vectors] = {};
  for (std::int64_t q = 0; q < chunks; ++q, a += R::rows * R::width) {
#pragma GCC unroll 1
    for (int k = 0; k < R::width; ++k, b += R::panel) {
      next_a.go();
      next_b.go();
      Vector weight[R::vectors];
#pragma GCC unroll 4
      for (int j = 0; j < R::vectors; ++j) weight[j] = R::load(b + j * R::width);
#pragma GCC unroll 16
      for (int i = 0; i < R::rows; ++i) {
        const float value = a[i * R::width + k];
#pragma GCC unroll 4
        for (int j = 0; j < R::vectors; ++j) sum[i][j] += value * weight[j];
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R::rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < R::vectors; ++j) {
      float* to = c + (j * R::rows + i) * R::width;
      R::store(to, accumulate ? R::load(to) + sum[i][j] : sum[i][j]);
    }
}

// Products that are summed in one go. Short sums round less: of 128, Winograd's error is 1.4 times that of oneDNN's
// direct convolution, of the whole depth 3 times.
constexpr std::int64_t kChain = 128;

template <class R>
void multiply(const PackedProduct& p) {
  const std::int64_t calls = (p.last - p.first) * p.row_blocks * p.depth;  // each steps once through what comes next
  const std::int64_t next_step = divide_up(p.next_floats, calls < 1 ? 1 : calls);
  const std::int64_t panel_step = divide_up(R::panel, p.row_blocks);  // the row blocks share the next panel
  std::int64_t done = 0;
  for (std::int64_t panel = p.first; panel < p.last; ++panel) {
    const float* b = p.b + panel * p.b_step;
    const float* next_panel = panel + 1 < p.last ? b + p.b_step : b;
    for (std::int64_t m = 0; m < p.row_blocks; ++m)
      for (std::int64_t k = 0; k < p.depth; k += kChain) {
        const std::int64_t steps = p.depth - k < kChain ? p.depth - k : kChain;
        micro_kernel<R>(p.a + m * p.a_step + k * R::rows, b + k * R::panel, steps / R::width,
                        p.c + m * p.c_step + panel * R::panel * R::rows, p.accumulate || k > 0,
                        ahead(p.next, p.next_floats, done, next_step, steps),
                        ahead(next_panel, p.depth * R::panel, (m * p.depth + k) * panel_step, panel_step, steps));
        done += steps * next_step;
      }
  }
}

template <class R>
void pack_rows(const float* const* rows, std::int64_t columns, float* a) {
  for (std::int64_t k = 0; k < columns; k += R::width, a += R::rows * R::width)
    for (int i = 0; i < R::rows; ++i) {
      typename R::Vector v{};
      if (rows[i] != nullptr)
        v = k + R::width <= columns ? R::load(rows[i] + k) : R::load_some(rows[i] + k, columns - k);
      R::store(a + i * R::width, v);
    }
}

template <class R>
void pack_panel(const float* from, std::int64_t k_step, std::int64_t column_step, std::int64_t depth,
                std::int64_t columns, float* b) {
  const std::int64_t padded = round_up(depth, R::width);
  for (std::int64_t k = 0; k < padded; ++k, b += R::panel)
    for (std::int64_t j = 0; j < R::panel; ++j)
      b[j] = k < depth && j < columns ? from[k * k_step + j * column_step] : 0.0F;
}

// One vector of sums on its way into an output: NaN stays NaN.
template <class R>
inline typename R::Vector finished(typename R::Vector v, bool relu) {
  return relu ? (v < 0.0F ? typename R::Vector{} : v) : v;
}

template <class R>
void finish_row(const float* c, std::int64_t i, std::int64_t channels, const PackedFinish& finish, std::int64_t offset,
                float* y) {
  c += i * R::width;
  y += offset;
  const float* addend = finish.addend == nullptr ? nullptr : finish.addend + offset;
  std::int64_t at = 0;
  for (; at + R::width <= channels; at += R::width, c += R::rows * R::width) {
    auto v = R::load(c);
    if (finish.bias != nullptr) v += R::load(finish.bias + at);
    if (addend != nullptr) v += R::load(addend + at);
    R::store(y + at, finished<R>(v, finish.relu));
  }
  for (; at < channels; ++at, ++c) {
    float v = *c;
    if (finish.bias != nullptr) v += finish.bias[at];
    if (addend != nullptr) v += addend[at];
    y[at] = finish.relu && v < 0.0F ? 0.0F : v;
  }
}

template <class R>
constexpr PackedLoops packed_loops_of(const char* name) {
  return {name, R::width, R::rows, R::panel, multiply<R>, pack_rows<R>, pack_panel<R>, finish_row<R>};
}

}  // namespace
}  // namespace d2deploy
