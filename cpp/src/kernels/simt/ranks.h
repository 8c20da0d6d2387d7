// Sorting and choosing by score, by all threads of one block.
#pragma once
#include "kernels/simt/simt.h"

namespace d2deploy::simt {

using Word = unsigned long long;

/// Larger for larger scores, equal for equal ones (0 and -0); scores must not be NaN.
SIMT_DEVICE inline unsigned rank_of(float score) {
  constexpr unsigned kSign = 0x80000000U;
  const unsigned bits = __float_as_uint(score + 0.0F);  // -0 + 0 is 0
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

/// Larger for larger scores, among equal ones for smaller places, so that all keys differ.
SIMT_DEVICE inline Word key_of(float score, unsigned place) {
  return Word{rank_of(score)} << 32 | static_cast<unsigned>(~place);
}
SIMT_DEVICE inline unsigned rank_in(Word key) { return static_cast<unsigned>(key >> 32); }
SIMT_DEVICE inline unsigned place_in(Word key) { return ~static_cast<unsigned>(key); }

/// Sorts keys from high to low; they are in the memory of the block or of the device. A bitonic sort in which all
/// exchanges move the larger key to the front, so that absent keys behind the last one stay where they are.
SIMT_DEVICE inline void sort_descending(Word* keys, int count) {
  const auto exchange = [&](int i, int j) {
    if (j <= i || j >= count || keys[i] >= keys[j]) return;
    const Word smaller = keys[i];
    keys[i] = keys[j];
    keys[j] = smaller;
  };
  int padded = 1;
  while (padded < count) padded *= 2;
  const int first = static_cast<int>(threadIdx.x), step = static_cast<int>(blockDim.x);
  for (int size = 2; size <= padded; size *= 2) {
    __syncthreads();
    for (int i = first; i < count; i += step) exchange(i, i ^ (size - 1));
    for (int distance = size / 4; distance > 0; distance /= 2) {
      __syncthreads();
      for (int i = first; i < count; i += step) exchange(i, i ^ distance);
    }
  }
  __syncthreads();
}

/// A number that the k largest of many keys reach, and no others; all keys differ, and 1 <= k <= their number. It is
/// found digit by digit from the highest on, until the k largest are told from the others. Args: `for_each(f)` calls
/// f(key) for the calling thread's share of the keys. The block has a warp of threads at least.
template <class ForEach>
SIMT_DEVICE Word bound_of_largest(int k, const ForEach& for_each) {
  constexpr int kDigitBits = 8, kDigits = 1 << kDigitBits;
  SIMT_SHARED(int, histogram, kDigits);
  SIMT_SHARED(int, chosen, 3);  // the digit of the k-th largest, and how many keys have a larger one, and that one
  Word prefix = 0;
  for (int shift = 64 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    for (unsigned i = threadIdx.x; i < kDigits; i += blockDim.x) histogram[i] = 0;
    __syncthreads();
    for_each([&](Word key) {
      const bool same_prefix =
          shift + kDigitBits == 64 || key >> (shift + kDigitBits) == prefix >> (shift + kDigitBits);
      if (same_prefix) atomicAdd(&histogram[key >> shift & (kDigits - 1)], 1);
    });
    __syncthreads();
    if (threadIdx.x < kWarp) {  // a lane has some digits, the first lane the highest ones
      constexpr int kEach = kDigits / static_cast<int>(kWarp);
      int digit = kDigits - 1 - static_cast<int>(threadIdx.x) * kEach, own = 0;
      for (int i = 0; i < kEach; ++i) own += histogram[digit - i];
      int larger = own;
      for (unsigned lanes = 1; lanes < kWarp; lanes *= 2) {
        const int before = __shfl_up_sync(kAllLanes, larger, lanes);
        if (threadIdx.x >= lanes) larger += before;
      }
      larger -= own;
      if (larger < k && larger + own >= k) {
        while (larger + histogram[digit] < k) larger += histogram[digit--];
        chosen[0] = digit;
        chosen[1] = larger;
        chosen[2] = histogram[digit];
      }
    }
    __syncthreads();
    prefix |= static_cast<Word>(chosen[0]) << shift;
    k -= chosen[1];
    const bool told = chosen[2] == k;
    __syncthreads();
    if (told) break;
  }
  return prefix;
}

}  // namespace d2deploy::simt
