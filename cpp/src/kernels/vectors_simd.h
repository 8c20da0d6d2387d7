// Vectors of floats, read from and written to arrays of float or BFloat16. Everything here is in an unnamed namespace,
// deliberately: files compiled for different instruction sets include it, and each must keep its own code. For the
// same reason nothing of the standard library is used.
#pragma once
#include "d2deploy/dtype.h"

namespace d2deploy {
namespace {

// Specialised, since GCC converts no vectors of a size that depends on a template's.
template <int bytes>
struct Vectors;
template <>
struct Vectors<4> {
  typedef float Float __attribute__((vector_size(4)));
  typedef unsigned Word __attribute__((vector_size(4)));
  typedef unsigned short Half __attribute__((vector_size(2)));
};
template <>
struct Vectors<16> {
  typedef float Float __attribute__((vector_size(16)));
  typedef unsigned Word __attribute__((vector_size(16)));
  typedef unsigned short Half __attribute__((vector_size(8)));
};
template <>
struct Vectors<64> {
  typedef float Float __attribute__((vector_size(64)));
  typedef unsigned Word __attribute__((vector_size(64)));
  typedef unsigned short Half __attribute__((vector_size(32)));
};

template <int bytes>
inline void load_vector(const float* x, typename Vectors<bytes>::Float& v) {
  __builtin_memcpy(&v, x, bytes);
}

template <int bytes>
inline void load_vector(const BFloat16* x, typename Vectors<bytes>::Float& v) {
  typename Vectors<bytes>::Half bits;
  __builtin_memcpy(&bits, x, sizeof bits);
  const auto wide = __builtin_convertvector(bits, typename Vectors<bytes>::Word) << 16;
  __builtin_memcpy(&v, &wide, bytes);
}

template <int bytes>
inline void store_vector(const typename Vectors<bytes>::Float& v, float* y) {
  __builtin_memcpy(y, &v, bytes);
}

// Rounds as BFloat16 does.
template <int bytes>
inline void store_vector(const typename Vectors<bytes>::Float& v, BFloat16* y) {
  typedef typename Vectors<bytes>::Word Word;
  Word word;
  __builtin_memcpy(&word, &v, bytes);
  const Word even = word + 0x7FFFU + ((word >> 16) & 1U), nan = (Word)((word & 0x7FFFFFFFU) > 0x7F800000U);
  const Word rounded = (even >> 16 & ~nan) | ((word >> 16 | 0x40U) & nan);
  const auto bits = __builtin_convertvector(rounded, typename Vectors<bytes>::Half);
  __builtin_memcpy(&y->bits, &bits, sizeof bits);
}

}  // namespace
}  // namespace d2deploy
