// The loops behind column_sums.h, for one instruction set per file that includes this; see vectors_simd.h.
#pragma once
#include "kernels/vectors_simd.h"

namespace d2deploy {
namespace {

// Of as many float64 as the float32 that fill half of it.
template <int bytes>
struct Wide;
template <>
struct Wide<16> {
  typedef double Type __attribute__((vector_size(32)));
};
template <>
struct Wide<32> {
  typedef double Type __attribute__((vector_size(64)));
};

constexpr int kVectors = 4;  // side by side: their sums stay in registers, and none waits for another

// `bytes`: of a vector of float32, of which kVectors make the columns.
template <int bytes, class T>
inline void sum_columns(const T* x, std::int64_t rows, std::int64_t step, double* sums, double* squares) {
  constexpr int lanes = bytes / 4;
  typename Wide<bytes>::Type sum[kVectors] = {}, square[kVectors] = {};
  for (std::int64_t r = 0; r < rows; ++r)
    for (int k = 0; k < kVectors; ++k) {
      typename Vectors<bytes>::Float narrow;
      load_vector<bytes>(x + r * step + k * lanes, narrow);
      const auto v = __builtin_convertvector(narrow, typename Wide<bytes>::Type);
      sum[k] += v;
      square[k] += v * v;
    }
  __builtin_memcpy(sums, sum, sizeof sum);
  __builtin_memcpy(squares, square, sizeof square);
}

}  // namespace
}  // namespace d2deploy
