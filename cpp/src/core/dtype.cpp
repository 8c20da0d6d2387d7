#include "d2deploy/dtype.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <ostream>

namespace d2deploy {

namespace {

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  std::size_t bytes;
};
// In the order of the enumeration.
constexpr std::array<DTypeInfo, 8> kDTypes{{{DType::float32, "float32", 4},
                                            {DType::bfloat16, "bfloat16", 2},
                                            {DType::float16, "float16", 2},
                                            {DType::int8, "int8", 1},
                                            {DType::uint8, "uint8", 1},
                                            {DType::int32, "int32", 4},
                                            {DType::int64, "int64", 8},
                                            {DType::boolean, "bool", 1}}};

}  // namespace

std::string_view name(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)].name; }
std::size_t size_of(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)].bytes; }

bool parse(std::string_view text, DType& dtype) {
  const auto* it = std::ranges::find(kDTypes, text, &DTypeInfo::name);
  if (it == kDTypes.end()) return false;
  dtype = it->dtype;
  return true;
}

std::ostream& operator<<(std::ostream& os, DType dtype) { return os << name(dtype); }

Float16::Float16(float value) {
  const auto b = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(b >> 16 & 0x8000U);
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) {
    bits = static_cast<std::uint16_t>(sign | 0x7E00U);
  } else if (magnitude >= 65520.0F) {  // halfway from the largest number to the next power of two
    bits = static_cast<std::uint16_t>(sign | 0x7C00U);
  } else if (magnitude < 0x1p-14F) {  // subnormal: a multiple of 2^-24; adding 0.5 rounds to those
    bits = static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(magnitude + 0.5F) & 0x7FFU));
  } else {
    const std::uint32_t m = std::bit_cast<std::uint32_t>(magnitude) - (112U << 23);  // exponent bias 127 -> 15
    bits = static_cast<std::uint16_t>(sign | (m + 0xFFFU + (m >> 13 & 1U)) >> 13);
  }
}

Float16::operator float() const {
  const std::uint32_t sign = (bits & 0x8000U) << 16, magnitude = bits & 0x7FFFU;
  if (magnitude >= 0x7C00U)  // infinity and NaN
    return std::bit_cast<float>(sign | 0x7F800000U | (magnitude & 0x3FFU) << 13);
  const float value = magnitude < 0x400U ? static_cast<float>(magnitude) * 0x1p-24F
                                         : std::bit_cast<float>((magnitude << 13) + (112U << 23));
  return sign ? -value : value;
}

}  // namespace d2deploy
