// Rows of float32 in a smaller type, in vectors. Files for one instruction set include this: plain data and plain
// declarations only. The other direction is as fast in plain C++.
#pragma once
#include <cstdint>

#include "d2deploy/dtype.h"

namespace d2deploy {

struct ConvertLoops {
  const char* name;
  /// y = x * inverse rounded to nearest, ties to even, and moved into [0, 255] or [-127, 127]; NaN becomes 0.
  void (*quantise_u8)(const float* x, float inverse, std::int64_t n, std::uint8_t* y);
  void (*quantise_i8)(const float* x, float inverse, std::int64_t n, std::int8_t* y);
  /// y = x, rounded to nearest as BFloat16 does it.
  void (*narrow)(const float* x, std::int64_t n, BFloat16* y);
};

/// Those that this CPU has, the fastest first; all give the same bits, and the last one is plain C++.
struct AllConvertLoops {
  ConvertLoops loops[3];
  int count;
};
AllConvertLoops all_convert_loops();

ConvertLoops convert_loops_avx2();
ConvertLoops convert_loops_avx512();

}  // namespace d2deploy
