#include "kernels/resample.h"

#include "kernels/instruction_sets.h"
#include "kernels/resample_simd.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace d2deploy {

namespace {

void resample_columns_plain(const ResampleColumns& call) {
  const bool interleaved = call.out_plane_bytes == 0;
  for (std::int64_t x = 0; x < call.count; ++x)
    for (std::int64_t c = 0; c < call.channels; ++c) {
      const Support& support = call.supports[x];
      const std::uint8_t* first = call.rows[0] + support.first * call.channels + c;
      call.out[interleaved ? x * call.channels + c : c * call.out_plane_bytes + x] =
          weighted_byte(first, call.channels, support);
    }
}

void resample_row_plain(const std::uint8_t* row, std::int64_t row_bytes, const Support& support, std::int64_t n,
                        std::uint8_t* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = weighted_byte(row + i, row_bytes, support);
}

constexpr ResampleLoops kPlain{"plain", 1, resample_columns_plain, resample_row_plain, widen_u8};

#ifdef __SSE2__
struct Bytes16 {
  static constexpr std::int64_t kSize = 16;
  __m128i v;

  static Bytes16 load(const std::uint8_t* p) { return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))}; }
  static Bytes16 load_rows(const std::uint8_t* const* rows, std::int64_t offset) { return load(rows[0] + offset); }
  void store(std::uint8_t* p) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v); }
  void store_rows(std::uint8_t* p, std::int64_t /*gap*/) const { store(p); }
  static Bytes16 low(Bytes16 a, Bytes16 b) { return {_mm_unpacklo_epi8(a.v, b.v)}; }
  static Bytes16 high(Bytes16 a, Bytes16 b) { return {_mm_unpackhi_epi8(a.v, b.v)}; }
  static Bytes16 all(std::int32_t value) { return {_mm_set1_epi32(value)}; }
  static Bytes16 multiply(Bytes16 a, Bytes16 b) { return {_mm_madd_epi16(a.v, b.v)}; }
  static Bytes16 add(Bytes16 a, Bytes16 b) { return {_mm_add_epi32(a.v, b.v)}; }
  static Bytes16 up(Bytes16 a, int bits) { return {_mm_slli_epi32(a.v, bits)}; }
  static Bytes16 down(Bytes16 a, int bits) { return {_mm_srli_epi32(a.v, bits)}; }
  static Bytes16 pack(Bytes16 a, Bytes16 b, Bytes16 c, Bytes16 d) {
    return {_mm_packus_epi16(_mm_packs_epi32(a.v, b.v), _mm_packs_epi32(c.v, d.v))};
  }
};

constexpr ResampleLoops kSse2{"sse2", Bytes16::kSize, resample_columns<Bytes16>, resample_row<Bytes16>, widen_u8};
constexpr ResampleLoops kAvx2{"avx2", kResampleRowsAvx2, resample_columns_avx2, resample_row_avx2, widen_u8_avx2};
#endif

}  // namespace

AllResampleLoops all_resample_loops() {
#ifdef __SSE2__
  if (has_avx2()) return {{kAvx2, kSse2, kPlain}, 3};
  return {{kSse2, kPlain}, 2};
#else
  return {{kPlain}, 1};
#endif
}

}  // namespace d2deploy
