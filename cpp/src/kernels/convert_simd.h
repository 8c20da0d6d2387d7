// The loops of convert_loops.h in vectors of a chosen width. Everything here is in an unnamed namespace, deliberately:
// files compiled for different instruction sets include it, and each must keep its own code. For the same reason
// nothing of the standard library is used.
#pragma once
#include "kernels/convert_loops.h"
#include "kernels/vectors_simd.h"

namespace d2deploy {
namespace {

template <int bytes>
using Floats = typename Vectors<bytes>::Float;

// f(vector) for all of x, what is left behind the last whole vector in a last one of its own.
template <int bytes, class To, class F>
inline void convert_row(const float* x, std::int64_t n, To* y, const F& f) {
  constexpr std::int64_t kLanes = bytes / 4;
  std::int64_t i = 0;
  const auto step = [&f](const float* from, To* to) {
    Floats<bytes> v;
    load_vector<bytes>(from, v);
    store_vector<bytes>(f(v), to);
  };
  for (; i + 4 * kLanes <= n; i += 4 * kLanes)
#pragma GCC unroll 4
    for (std::int64_t k = 0; k < 4; ++k) step(x + i + k * kLanes, y + i + k * kLanes);
  for (; i + kLanes <= n; i += kLanes) step(x + i, y + i);
  if (i == n) return;
  float last_x[kLanes] = {};
  To last_y[kLanes];
  __builtin_memcpy(last_x, x + i, static_cast<unsigned long>(n - i) * sizeof(float));
  step(last_x, last_y);
  __builtin_memcpy(y + i, last_y, static_cast<unsigned long>(n - i) * sizeof(To));
}

template <int bytes, class Quantised>
inline void quantise_row(const float* x, float inverse, std::int64_t n, Quantised* y) {
  constexpr bool kSigned = static_cast<Quantised>(-1) < 0;
  constexpr float kMost = kSigned ? 127.0F : 255.0F, kLeast = kSigned ? -127.0F : 0.0F;
  convert_row<bytes>(x, n, y, [inverse](Floats<bytes> v) {
    const Floats<bytes> zero = {}, most = zero + kMost, least = zero + kLeast;
    v *= inverse;
    v = v == v ? v : zero;
    v = v > least ? v : least;
    return v < most ? v : most;
  });
}

template <int bytes>
inline ConvertLoops convert_loops_in_vectors(const char* name) {
  return {name, quantise_row<bytes, std::uint8_t>, quantise_row<bytes, std::int8_t>,
          [](const float* x, std::int64_t n, BFloat16* y) {
            convert_row<bytes>(x, n, y, [](const Floats<bytes>& v) { return v; });
          }};
}

}  // namespace
}  // namespace d2deploy
