// Element types, and the C++ types of their elements.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string_view>

#pragma GCC visibility push(default)
namespace d2deploy {

enum class DType : std::uint8_t { float32, bfloat16, float16, int8, uint8, int32, int64, boolean };

std::string_view name(DType dtype);
std::size_t size_of(DType dtype);                 ///< bytes per element
bool parse(std::string_view text, DType& dtype);  ///< false where `text` names no element type
std::ostream& operator<<(std::ostream& os, DType dtype);

/// The upper half of a float32. Rounds to nearest, ties to even.
struct BFloat16 {
  std::uint16_t bits = 0;

  BFloat16() = default;
  explicit BFloat16(float value) {
    const auto b = std::bit_cast<std::uint32_t>(value);
    const bool nan = (b & 0x7FFFFFFFU) > 0x7F800000U;
    // A NaN stays one: rounding could carry it over to infinity or zero.
    bits = static_cast<std::uint16_t>(nan ? b >> 16 | 0x40U : (b + 0x7FFFU + (b >> 16 & 1U)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};

/// IEEE 754 binary16. Rounds to nearest, ties to even; what is too large becomes infinity.
struct Float16 {
  std::uint16_t bits = 0;

  Float16() = default;
  explicit Float16(float value);
  explicit operator float() const;
};

template <class T>
inline constexpr DType kDType = [] {
  static_assert(sizeof(T) == 0, "no DType for this C++ type");
  return DType::float32;
}();
template <>
inline constexpr DType kDType<float> = DType::float32;
template <>
inline constexpr DType kDType<BFloat16> = DType::bfloat16;
template <>
inline constexpr DType kDType<Float16> = DType::float16;
template <>
inline constexpr DType kDType<std::int8_t> = DType::int8;
template <>
inline constexpr DType kDType<std::uint8_t> = DType::uint8;
template <>
inline constexpr DType kDType<std::int32_t> = DType::int32;
template <>
inline constexpr DType kDType<std::int64_t> = DType::int64;
template <>
inline constexpr DType kDType<bool> = DType::boolean;

}  // namespace d2deploy
#pragma GCC visibility pop
