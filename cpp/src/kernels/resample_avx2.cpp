#include <immintrin.h>

#include "kernels/resample_simd.h"

namespace d2deploy {

namespace {

struct Bytes32 {
  static constexpr std::int64_t kSize = kResampleRowsAvx2;
  __m256i v;

  static __m128i lane(const std::uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
  static Bytes32 load_rows(const std::uint8_t* const* rows, std::int64_t offset) {
    return {_mm256_inserti128_si256(_mm256_castsi128_si256(lane(rows[0] + offset)), lane(rows[kLane] + offset), 1)};
  }
  static Bytes32 load(const std::uint8_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
  void store(std::uint8_t* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
  void store_rows(std::uint8_t* p, std::int64_t gap) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(v));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + gap), _mm256_extracti128_si256(v, 1));
  }
  static Bytes32 low(Bytes32 a, Bytes32 b) { return {_mm256_unpacklo_epi8(a.v, b.v)}; }
  static Bytes32 high(Bytes32 a, Bytes32 b) { return {_mm256_unpackhi_epi8(a.v, b.v)}; }
  static Bytes32 all(std::int32_t value) { return {_mm256_set1_epi32(value)}; }
  static Bytes32 multiply(Bytes32 pairs, Bytes32 weights) { return {_mm256_madd_epi16(pairs.v, weights.v)}; }
  static Bytes32 add(Bytes32 a, Bytes32 b) { return {_mm256_add_epi32(a.v, b.v)}; }
  static Bytes32 up(Bytes32 a, int bits) { return {_mm256_slli_epi32(a.v, bits)}; }
  static Bytes32 down(Bytes32 a, int bits) { return {_mm256_srli_epi32(a.v, bits)}; }
  static Bytes32 pack(Bytes32 a, Bytes32 b, Bytes32 c, Bytes32 d) {
    return {_mm256_packus_epi16(_mm256_packs_epi32(a.v, b.v), _mm256_packs_epi32(c.v, d.v))};
  }
};

}  // namespace

void resample_columns_avx2(const ResampleColumns& call) { resample_columns<Bytes32>(call); }

void resample_row_avx2(const std::uint8_t* row, std::int64_t row_bytes, const Support& support, std::int64_t n,
                       std::uint8_t* out) {
  resample_row<Bytes32>(row, row_bytes, support, n, out);
}

void widen_u8_avx2(const std::uint8_t* x, std::int64_t n, float* y) { widen_u8(x, n, y); }

}  // namespace d2deploy
