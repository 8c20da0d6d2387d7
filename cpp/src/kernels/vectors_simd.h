// Vectors of floats, read from and written to arrays of float, BFloat16, or quantised numbers. Everything here is in an
// unnamed namespace, deliberately: files compiled for different instruction sets include it, and each must keep its own
// code. For the same reason nothing of the standard library is used.
#pragma once
#include <cstdint>

#include "d2deploy/dtype.h"
#if defined(__AVX2__)
#include <immintrin.h>
#endif

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
struct Vectors<32> {
  typedef float Float __attribute__((vector_size(32)));
  typedef unsigned Word __attribute__((vector_size(32)));
  typedef unsigned short Half __attribute__((vector_size(16)));
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
inline void load_vector(const std::uint8_t* x, typename Vectors<bytes>::Float& v) {
  for (int i = 0; i < bytes / 4; ++i) v[i] = static_cast<float>(x[i]);
}

template <int bytes>
inline void load_vector(const std::int8_t* x, typename Vectors<bytes>::Float& v) {
  for (int i = 0; i < bytes / 4; ++i) v[i] = static_cast<float>(x[i]);
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

// Rounds to nearest; what is written must be in the range of the type.
template <int bytes, class Quantised>
inline void store_quantised(const typename Vectors<bytes>::Float& v, Quantised* y) {
  // Adding 1.5 * 2^23 leaves the rounded number in the low bits.
  const typename Vectors<bytes>::Float shifted = v + 12582912.0F;
  typename Vectors<bytes>::Word word;
  __builtin_memcpy(&word, &shifted, bytes);
  for (int i = 0; i < bytes / 4; ++i) y[i] = static_cast<Quantised>(word[i] - 0x4B400000U);
}

// Of the loops above, compilers do not make the one instruction that there is.
#if defined(__AVX2__)
template <>
inline void load_vector<32>(const std::uint8_t* x, Vectors<32>::Float& v) {
  v = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x))));
}

template <>
inline void load_vector<32>(const std::int8_t* x, Vectors<32>::Float& v) {
  v = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x))));
}

// Rounded, as 16-bit numbers.
inline __m128i rounded_words(const Vectors<32>::Float& v) {
  const __m256i whole = _mm256_cvtps_epi32(v);
  return _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
}

template <>
inline void store_quantised<32>(const Vectors<32>::Float& v, std::uint8_t* y) {
  const __m128i words = rounded_words(v);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(y), _mm_packus_epi16(words, words));
}

template <>
inline void store_quantised<32>(const Vectors<32>::Float& v, std::int8_t* y) {
  const __m128i words = rounded_words(v);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(y), _mm_packs_epi16(words, words));
}
#endif

#if defined(__AVX512F__)
// With masks, which take all: GCC warns of what the forms without leave undefined.
inline constexpr __mmask16 kAll = 0xFFFF;

template <>
inline void load_vector<64>(const std::uint8_t* x, Vectors<64>::Float& v) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
  v = _mm512_maskz_cvtepi32_ps(kAll, _mm512_maskz_cvtepu8_epi32(kAll, bytes));
}

template <>
inline void load_vector<64>(const std::int8_t* x, Vectors<64>::Float& v) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
  v = _mm512_maskz_cvtepi32_ps(kAll, _mm512_maskz_cvtepi8_epi32(kAll, bytes));
}

template <>
inline void store_quantised<64>(const Vectors<64>::Float& v, std::uint8_t* y) {
  _mm512_mask_cvtepi32_storeu_epi8(y, kAll, _mm512_maskz_cvtps_epi32(kAll, v));
}

template <>
inline void store_quantised<64>(const Vectors<64>::Float& v, std::int8_t* y) {
  _mm512_mask_cvtepi32_storeu_epi8(y, kAll, _mm512_maskz_cvtps_epi32(kAll, v));
}
#endif

template <int bytes>
inline void store_vector(const typename Vectors<bytes>::Float& v, std::uint8_t* y) {
  store_quantised<bytes>(v, y);
}

template <int bytes>
inline void store_vector(const typename Vectors<bytes>::Float& v, std::int8_t* y) {
  store_quantised<bytes>(v, y);
}

}  // namespace
}  // namespace d2deploy
