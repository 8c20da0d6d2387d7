// Real numbers of any element type in kernels for GPUs: they are read and written as they are stored, and computed with
// in float32.
#pragma once
#include "d2deploy/dtype.h"
#include "kernels/simt/simt.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace d2deploy::simt {

SIMT_DEVICE inline float to_float(float x) { return x; }

template <class T>
SIMT_DEVICE T from_float(float x);
template <>
SIMT_DEVICE inline float from_float<float>(float x) {
  return x;
}

#ifdef __CUDACC__
SIMT_DEVICE inline float to_float(Float16 x) { return __half2float(__ushort_as_half(x.bits)); }
SIMT_DEVICE inline float to_float(BFloat16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }
template <>
SIMT_DEVICE inline Float16 from_float<Float16>(float x) {
  Float16 y;
  y.bits = __half_as_ushort(__float2half_rn(x));
  return y;
}
template <>
SIMT_DEVICE inline BFloat16 from_float<BFloat16>(float x) {
  BFloat16 y;
  y.bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
  return y;
}
#else
template <class T>
float to_float(T x) {
  return static_cast<float>(x);
}
template <>
inline Float16 from_float<Float16>(float x) {
  return Float16(x);
}
template <>
inline BFloat16 from_float<BFloat16>(float x) {
  return BFloat16(x);
}
#endif

/// As many elements as lie in 16 bytes, which a thread reads or writes at once; its address must be a multiple of 16.
template <class T>
struct alignas(16) Vector {
  static constexpr int kSize = 16 / sizeof(T);
  T values[kSize];
};

}  // namespace d2deploy::simt
