// The loops of an antialiased resize of 8-bit pictures: sums of weighted bytes in fixed point, along rows or down
// columns. Files for one instruction set include this: plain data and plain declarations only.
#pragma once
#include <cstdint>

namespace d2deploy {

// A weight is a whole number of 2^-22, so that a sum of weighted bytes fits into 32 bits. It is split in two, as
// high * 2^11 + low, since CPUs multiply pairs of 16-bit numbers fastest.
inline constexpr int kWeightBits = 22, kLowWeightBits = 11;

/// Of two neighbours; the second is 0 where there is only one.
struct WeightPair {
  std::int16_t high[2], low[2];
};

/// Where an element of the result comes from: the elements [first, first + taps), and ceil(taps / 2) pairs of weights.
struct Support {
  std::int64_t first, taps;
  const WeightPair* pairs;
};

/// Some columns of a resized picture, for as many rows as its ResampleLoops take at a time.
struct ResampleColumns {
  const std::uint8_t* const* rows;  ///< interleaved pixels
  std::int64_t row_bytes;           ///< no byte behind these is read
  std::int64_t channels;
  const Support* supports;  ///< of `count` columns of the result, in pixels of `rows`
  std::int64_t count;
  std::int64_t first_pixel, end_pixel;  ///< those that `supports` lie in
  std::uint8_t* turned;                 ///< scratch, see turned_bytes
  std::uint8_t* out;                    ///< the first column's place in the first row
  std::int64_t out_row_bytes;
  std::int64_t out_plane_bytes;  ///< from a channel of a row to the next one; 0: interleaved
};

/// Bytes that may be overwritten behind the last column of a row, or of each plane of one.
inline constexpr std::int64_t kResampleSlack = 16;

struct ResampleLoops {
  const char* name;
  std::int64_t rows;  ///< of the picture that `columns` works on at a time
  /// out = the weighted sums along rows.
  void (*columns)(const ResampleColumns& call);
  /// out[i] = the weighted sum down column i of the rows of `support`. `row`: the first of these; out is none of them.
  void (*row)(const std::uint8_t* row, std::int64_t row_bytes, const Support& support, std::int64_t n,
              std::uint8_t* out);
  /// y[i] = x[i].
  void (*widen)(const std::uint8_t* x, std::int64_t n, float* y);

  /// Scratch for `count` columns of the result from `pixels` pixels of each row.
  std::int64_t turned_bytes(std::int64_t count, std::int64_t pixels, std::int64_t channels) const {
    return rows * ((count + pixels) * channels + kResampleSlack);
  }
};

/// Those that this CPU has, the fastest first; all give the same bits, and the last one is plain C++.
struct AllResampleLoops {
  ResampleLoops loops[3];
  int count;
};
AllResampleLoops all_resample_loops();

inline constexpr std::int64_t kResampleRowsAvx2 = 32;
void resample_columns_avx2(const ResampleColumns& call);
void resample_row_avx2(const std::uint8_t* row, std::int64_t row_bytes, const Support& support, std::int64_t n,
                       std::uint8_t* out);
void widen_u8_avx2(const std::uint8_t* x, std::int64_t n, float* y);

}  // namespace d2deploy
