// Vectors of floats for one instruction set, of the compiler's vector extensions. Everything here is in an unnamed
// namespace, deliberately: files compiled for different instruction sets include it, and each must keep its own code.
// For the same reason nothing of the standard library is used.
#pragma once
#include "kernels/vectors_simd.h"

namespace d2deploy {
namespace {

/// `width` floats in a vector, and the block of sums that the micro-kernel keeps in registers: rows x vectors.
template <int kWidth, int kRows, int kVectors>
struct Registers {
  static constexpr int kBytes = kWidth * static_cast<int>(sizeof(float));
  typedef float Vector __attribute__((vector_size(kWidth * sizeof(float))));
  typedef double Wide __attribute__((vector_size(kWidth / 2 * sizeof(double))));
  typedef float Half __attribute__((vector_size(kWidth / 2 * sizeof(float))));  ///< a Wide, rounded
  static constexpr int width = kWidth, rows = kRows, vectors = kVectors;
  static constexpr int panel = kWidth * kVectors;

  // T: float, or BFloat16, which is widened, and rounded to nearest.
  template <class T>
  static Vector load(const T* p) {
    Vector v;
    load_vector<kBytes>(p, v);
    return v;
  }
  template <class T>
  static void store(T* p, Vector v) {
    store_vector<kBytes>(v, p);
  }
  /// `count` values, fewer than a vector has; zeros behind them.
  template <class T>
  static Vector load_some(const T* p, std::int64_t count) {
    T lanes[kWidth] = {};
    for (std::int64_t i = 0; i < count; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  template <class T>
  static void store_some(T* p, Vector v, std::int64_t count) {
    T lanes[kWidth];
    store(lanes, v);
    for (std::int64_t i = 0; i < count; ++i) p[i] = lanes[i];
  }
};

// Sums in 28 of 32 registers, 12 of 16, 24 of 32; the others hold weights and a value.
using RegistersAvx512 = Registers<16, 14, 2>;
using RegistersAvx2 = Registers<8, 6, 2>;
#if defined(__aarch64__)
using RegistersBaseline = Registers<4, 12, 2>;
#else
using RegistersBaseline = Registers<4, 6, 2>;
#endif

}  // namespace
}  // namespace d2deploy
