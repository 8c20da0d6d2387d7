// From element types that are known when the program runs to C++ types.
#pragma once
#include <type_traits>

#include "d2deploy/tensor.h"

namespace d2deploy {

/// Calls f with a value of the C++ type of an element type.
template <class F>
void with_element_type(DType dtype, const F& f) {
  switch (dtype) {
    case DType::float32: return f(float());
    case DType::bfloat16: return f(BFloat16());
    case DType::float16: return f(Float16());
    case DType::int8: return f(std::int8_t());
    case DType::uint8: return f(std::uint8_t());
    case DType::int32: return f(std::int32_t());
    case DType::int64: return f(std::int64_t());
    case DType::boolean: return f(bool());
  }
}

/// The same for real numbers alone.
template <class F>
void with_real_type(DType dtype, const F& f) {
  switch (dtype) {
    case DType::bfloat16: return f(BFloat16());
    case DType::float16: return f(Float16());
    default: return f(float());
  }
}

/// Calls f with an unsigned number of as many bytes as an element, for what only moves elements.
template <class F>
void with_element_bytes(DType dtype, const F& f) {
  switch (size_of(dtype)) {
    case 1: return f(std::uint8_t());
    case 2: return f(std::uint16_t());
    case 4: return f(std::uint32_t());
    default: return f(std::uint64_t());
  }
}

/// Whether elements of this type are real numbers; the others are whole ones.
template <class T>
inline constexpr bool kReal = std::is_same_v<T, float> || std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>;
inline bool is_real(DType dtype) {
  return dtype == DType::float32 || dtype == DType::bfloat16 || dtype == DType::float16;
}

/// Whether its elements are real numbers divided by its scale and rounded.
inline bool is_quantised(const TensorType& type) { return type.scale > 0; }
/// The largest quantised number: the real one that it stands for is that many scales.
inline float most_quanta(DType dtype) { return dtype == DType::uint8 ? 255.0F : 127.0F; }

}  // namespace d2deploy
