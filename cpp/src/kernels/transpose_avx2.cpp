#include <immintrin.h>

#include "kernels/transpose.h"

namespace d2deploy {

namespace {

// y is the transpose of x, both 8 x 8 words. Interleaved words, then pairs of them, then halves of vectors.
inline void transpose_8x8(const std::uint32_t* x, std::int64_t x_step, std::uint32_t* y, std::int64_t y_step) {
  __m256i rows[8], words[8], pairs[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) rows[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i * x_step));
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    words[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
    words[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    pairs[i] = _mm256_unpacklo_epi64(words[i], words[i + 2]);
    pairs[i + 1] = _mm256_unpackhi_epi64(words[i], words[i + 2]);
    pairs[i + 2] = _mm256_unpacklo_epi64(words[i + 1], words[i + 3]);
    pairs[i + 3] = _mm256_unpackhi_epi64(words[i + 1], words[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    constexpr int kLowHalves = 0x20, kHighHalves = 0x31;
    const __m256i low = _mm256_permute2x128_si256(pairs[i], pairs[i + 4], kLowHalves);
    const __m256i high = _mm256_permute2x128_si256(pairs[i], pairs[i + 4], kHighHalves);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + i * y_step), low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + (i + 4) * y_step), high);
  }
}

}  // namespace

void transpose_16x16_avx2(const std::uint32_t* x, std::int64_t x_step, std::uint32_t* y, std::int64_t y_step) {
  for (std::int64_t column = 0; column < 16; column += 8)
    for (std::int64_t row = 0; row < 16; row += 8)  // a cache line of y is whole before the next one
      transpose_8x8(x + row * x_step + column, x_step, y + column * y_step + row, y_step);
}

}  // namespace d2deploy
