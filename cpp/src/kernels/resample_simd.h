// Resampling in vectors of a chosen width. Everything here is in an unnamed namespace, deliberately: files compiled for
// different instruction sets include it, and each must keep its own code. For the same reason nothing of the standard
// library is used.
//
// `Bytes` is a vector of kSize bytes and what is done with it. Most of it works in lanes of 16 bytes, one by one:
//   load, store            bytes that lie one after the other
//   load_rows, store_rows  lane l: 16 bytes of row 16 * l of those given
//   low, high              bytes of the first (second) half of each lane, from a and b in turn
//   all                    a number of 32 bits, again and again
//   multiply               a0 * b0 + a1 * b1 of each pair of signed 16-bit numbers: 32 bits
//   add, up, down          32-bit numbers: sums, shifts
//   pack                   four vectors of 32-bit numbers to one of bytes, 255 where they are larger
#pragma once
#include "kernels/resample.h"

namespace d2deploy {
namespace {

constexpr std::int64_t kLane = kResampleSlack;

// Turns 16 rows of 16 bytes into columns, in each lane. Every step moves the highest bit of a row's number below the
// lowest one of a byte's; after four of them row and byte have changed places.
template <class Bytes>
inline void transpose(Bytes (&v)[kLane]) {
#pragma GCC unroll 4
  for (int step = 0; step < 4; ++step) {
    Bytes next[kLane];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      next[2 * i] = Bytes::low(v[i], v[i + 8]);
      next[2 * i + 1] = Bytes::high(v[i], v[i + 8]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLane; ++i) v[i] = next[i];
  }
}

// Bytes [begin, end) of all rows, column by column: columns[(b - begin) * kSize + r] = rows[r][b].
template <class Bytes>
inline void turn(const ResampleColumns& call, std::int64_t begin, std::int64_t end, std::uint8_t* columns) {
  Bytes v[kLane];
  for (std::int64_t b = begin; b < end; b += kLane, columns += kLane * Bytes::kSize) {
    if (b + kLane <= call.row_bytes) {
#pragma GCC unroll 16
      for (int i = 0; i < kLane; ++i) v[i] = Bytes::load_rows(call.rows + i, b);
    } else {
      std::uint8_t padded[Bytes::kSize][kLane] = {};
      const std::uint8_t* rows[Bytes::kSize];
      for (std::int64_t r = 0; r < Bytes::kSize; ++r) {
        for (std::int64_t i = 0; i < call.row_bytes - b; ++i) padded[r][i] = call.rows[r][b + i];
        rows[r] = padded[r];
      }
      for (int i = 0; i < kLane; ++i) v[i] = Bytes::load_rows(rows + i, 0);
    }
    transpose(v);
#pragma GCC unroll 16
    for (int i = 0; i < kLane; ++i) v[i].store(columns + i * Bytes::kSize);
  }
}

// The inverse, for `count` columns that lie `stride` bytes apart.
template <class Bytes>
inline void turn_back(const std::uint8_t* columns, std::int64_t stride, std::int64_t count, std::uint8_t* out,
                      std::int64_t out_row_bytes) {
  Bytes v[kLane];
  for (std::int64_t x = 0; x < count; x += kLane) {
#pragma GCC unroll 16
    for (std::int64_t i = 0; i < kLane; ++i)  // behind the last column, that one again
      v[i] = Bytes::load(columns + (x + i < count ? x + i : count - 1) * stride);
    transpose(v);
#pragma GCC unroll 16
    for (int i = 0; i < kLane; ++i) v[i].store_rows(out + x + i * out_row_bytes, kLane * out_row_bytes);
  }
}

// kSize weighted sums, each of elements that lie `stride` bytes apart.
//   sum = (2^21 + sum of (high * 2^11 + low) * x) / 2^22
template <class Bytes>
inline Bytes weighted(const std::uint8_t* x, std::int64_t stride, const Support& support) {
  const Bytes zero = Bytes::all(0);
  Bytes high[4] = {zero, zero, zero, zero};
  const Bytes half = Bytes::all(1 << (kWeightBits - 1));
  Bytes low[4] = {half, half, half, half};
  for (std::int64_t j = 0; j < support.taps; j += 2, x += 2 * stride) {
    const Bytes first = Bytes::load(x);
    const Bytes second = j + 1 < support.taps ? Bytes::load(x + stride) : first;
    const Bytes pairs[2] = {Bytes::low(first, second), Bytes::high(first, second)};
    std::int32_t weights[2];
    static_assert(sizeof weights == sizeof(WeightPair));
    __builtin_memcpy(weights, support.pairs + j / 2, sizeof weights);
    const Bytes high_weights = Bytes::all(weights[0]), low_weights = Bytes::all(weights[1]);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const Bytes wide = i % 2 == 0 ? Bytes::low(pairs[i / 2], zero) : Bytes::high(pairs[i / 2], zero);
      high[i] = Bytes::add(high[i], Bytes::multiply(wide, high_weights));
      low[i] = Bytes::add(low[i], Bytes::multiply(wide, low_weights));
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) low[i] = Bytes::down(Bytes::add(Bytes::up(high[i], kLowWeightBits), low[i]), kWeightBits);
  return Bytes::pack(low[0], low[1], low[2], low[3]);
}

// The same for one element.
inline std::uint8_t weighted_byte(const std::uint8_t* x, std::int64_t stride, const Support& support) {
  std::uint32_t sum = 1U << (kWeightBits - 1);
  for (std::int64_t j = 0; j < support.taps; ++j) {
    const WeightPair& pair = support.pairs[j / 2];
    const int weight = pair.high[j % 2] * (1 << kLowWeightBits) + pair.low[j % 2];
    sum += static_cast<std::uint32_t>(weight) * x[j * stride];
  }
  sum >>= kWeightBits;
  return static_cast<std::uint8_t>(sum < 255 ? sum : 255);
}

// With rows and columns exchanged, the sums along rows are sums over vectors, whatever the number of channels.
template <class Bytes>
inline void resample_columns(const ResampleColumns& call) {
  constexpr std::int64_t kRows = Bytes::kSize;
  const std::int64_t begin = call.first_pixel * call.channels, end = call.end_pixel * call.channels;
  turn<Bytes>(call, begin, end, call.turned);
  const std::int64_t pixel_bytes = call.channels * kRows;
  std::uint8_t* const sums = call.turned + (end - begin + kResampleSlack) * kRows;
  for (std::int64_t x = 0; x < call.count; ++x) {
    const Support& support = call.supports[x];
    const std::uint8_t* pixel = call.turned + (support.first - call.first_pixel) * pixel_bytes;
    for (std::int64_t c = 0; c < pixel_bytes; c += kRows)
      weighted<Bytes>(pixel + c, pixel_bytes, support).store(sums + x * pixel_bytes + c);
  }
  if (call.out_plane_bytes == 0)
    return turn_back<Bytes>(sums, kRows, call.count * call.channels, call.out, call.out_row_bytes);
  for (std::int64_t c = 0; c < call.channels; ++c)
    turn_back<Bytes>(sums + c * kRows, pixel_bytes, call.count, call.out + c * call.out_plane_bytes,
                     call.out_row_bytes);
}

template <class Bytes>
inline void resample_row(const std::uint8_t* x, std::int64_t row_bytes, const Support& support, std::int64_t n,
                         std::uint8_t* out) {
  constexpr std::int64_t kSize = Bytes::kSize;
  std::int64_t i = 0;
  for (; i + kSize <= n; i += kSize) weighted<Bytes>(x + i, row_bytes, support).store(out + i);
  if (i < n && n >= kSize)  // the last vector, some of it again
    return weighted<Bytes>(x + n - kSize, row_bytes, support).store(out + n - kSize);
  for (; i < n; ++i) out[i] = weighted_byte(x + i, row_bytes, support);
}

inline void widen_u8(const std::uint8_t* x, std::int64_t n, float* y) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) y[i] = x[i];
}

}  // namespace
}  // namespace d2deploy
