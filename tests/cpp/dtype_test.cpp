// Element types: names, sizes, and the conversions of the reduced ones.
#include "d2deploy/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "core/element_type.h"
#include "d2deploy/error.h"

namespace d2deploy {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(DTypes, NamesAndSizes) {
  const std::pair<DType, std::size_t> all[] = {{DType::float32, 4}, {DType::bfloat16, 2}, {DType::float16, 2},
                                               {DType::int8, 1},    {DType::uint8, 1},    {DType::int32, 4},
                                               {DType::int64, 8},   {DType::boolean, 1}};
  for (const auto& [dtype, bytes] : all) {
    DType parsed{};
    EXPECT_TRUE(parse(name(dtype), parsed));
    EXPECT_EQ(parsed, dtype);
    EXPECT_EQ(size_of(dtype), bytes);
    with_element_type(dtype, [&, d = dtype]<class T>(T) {
      EXPECT_EQ(kDType<T>, d);
      EXPECT_EQ(sizeof(T), size_of(d));
    });
    with_element_bytes(dtype, [&, n = bytes](auto zero) { EXPECT_EQ(sizeof zero, n); });
  }
}

float as_bfloat16(float x) { return static_cast<float>(BFloat16(x)); }
float as_float16(float x) { return static_cast<float>(Float16(x)); }

TEST(BFloat16, RoundsToNearestEven) {
  EXPECT_EQ(as_bfloat16(1.0F), 1.0F);
  EXPECT_EQ(as_bfloat16(-257.0F), -256.0F);    // halfway: the even one
  EXPECT_EQ(as_bfloat16(259.0F), 260.0F);      // halfway: the even one
  EXPECT_EQ(as_bfloat16(257.00003F), 258.0F);  // above halfway
  EXPECT_EQ(as_bfloat16(3.4e38F), kInfinity);  // beyond the largest number
  EXPECT_EQ(as_bfloat16(-kInfinity), -kInfinity);
  EXPECT_TRUE(std::signbit(as_bfloat16(-0.0F)));
  EXPECT_EQ(as_bfloat16(1e-40F), static_cast<float>(BFloat16(as_bfloat16(1e-40F))));  // subnormal
}

TEST(BFloat16, KeepsNaN) {
  EXPECT_TRUE(std::isnan(as_bfloat16(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(as_bfloat16(std::bit_cast<float>(0x7F800001U))));  // its payload is in the lower half alone
  EXPECT_TRUE(std::isnan(as_bfloat16(std::bit_cast<float>(0xFFFFFFFFU))));
}

TEST(Float16, EveryNumberComesBack) {
  for (std::uint32_t bits = 0; bits <= 0xFFFFU; ++bits) {
    Float16 h;
    h.bits = static_cast<std::uint16_t>(bits);
    const auto value = static_cast<float>(h);
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(as_float16(value))) << bits;
    else
      ASSERT_EQ(Float16(value).bits, bits);
  }
}

// The two neighbours of each midpoint, and the midpoint itself, by the numbers' own order.
TEST(Float16, RoundsToNearestEven) {
  for (std::uint32_t bits = 0; bits < 0x7BFFU; ++bits) {
    Float16 low, high;
    low.bits = static_cast<std::uint16_t>(bits);
    high.bits = static_cast<std::uint16_t>(bits + 1);
    const float middle = 0.5F * (static_cast<float>(low) + static_cast<float>(high));
    ASSERT_EQ(Float16(std::nextafter(middle, 0.0F)).bits, low.bits) << middle;
    ASSERT_EQ(Float16(std::nextafter(middle, kInfinity)).bits, high.bits) << middle;
    ASSERT_EQ(Float16(middle).bits, (bits & 1U) ? high.bits : low.bits) << middle;
  }
  EXPECT_EQ(as_float16(65519.996F), 65504.0F);
  EXPECT_EQ(as_float16(65520.0F), kInfinity);
  EXPECT_EQ(as_float16(-1e30F), -kInfinity);
  EXPECT_TRUE(std::signbit(as_float16(-1e-30F)));
}

}  // namespace
}  // namespace d2deploy
