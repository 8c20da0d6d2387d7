// What the fuzzers share: turning bytes into values, and the rule that only our own errors may leave the library.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <span>
#include <utility>

#include "d2deploy/error.h"
#include "d2deploy/tensor.h"

/// A fuzzer's entry point, as libFuzzer and replay.cpp call it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace d2deploy::fuzz {

/// Runs `f`. An Error is an answer; InternalError (our bug, by definition) and any other exception end the process.
template <class F>
void allow_errors(F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const InternalError& e) {
    std::fprintf(stderr, "FINDING InternalError: %s\n", e.what());
    std::abort();
  } catch (const Error&) {
  } catch (const std::exception& e) {
    std::fprintf(stderr, "FINDING exception that is no d2deploy::Error: %s\n", e.what());
    std::abort();
  }
}

/// Bytes read as choices; zeros once they are used up.
class Choices {
 public:
  explicit Choices(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }
  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const std::uint8_t value = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return value;
  }
  /// One of 0 ... count - 1; count is at most 256.
  std::size_t below(std::size_t count) { return byte() % count; }
  std::uint32_t word() {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | byte();
    return value;
  }
  std::span<const std::uint8_t> rest() const { return bytes_; }

  /// Mostly small integers, sometimes one at which arithmetic breaks.
  std::int64_t integer() {
    constexpr std::int64_t kOdd[] = {-1,
                                     -2,
                                     255,
                                     256,
                                     1024,
                                     65536,
                                     1 << 20,
                                     std::int64_t{1} << 24,
                                     INT32_MAX - 1,
                                     INT32_MAX,
                                     INT32_MIN,
                                     std::int64_t{1} << 31,
                                     std::int64_t{1} << 62,
                                     INT64_MAX,
                                     INT64_MIN,
                                     -100};
    const std::uint8_t b = byte();
    return b < 240 ? b % 12 : kOdd[b - 240];
  }
  /// Mostly moderate numbers, sometimes one at which arithmetic breaks.
  float number() {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    constexpr float kOdd[] = {std::numeric_limits<float>::quiet_NaN(),
                              kInfinity,
                              -kInfinity,
                              1e30F,
                              -1e30F,
                              3.4e38F,
                              1e-30F,
                              1e-45F,
                              -0.0F,
                              2147483648.0F,
                              -2147483904.0F,
                              9.3e18F,
                              16777216.0F,
                              -1.0F,
                              1000.0F,
                              0.5F};
    const std::uint8_t b = byte();
    return b < 240 ? static_cast<float>(b) / 4 - 10 : kOdd[b - 240];
  }
  /// A tensor of one of the element types: a few choices, repeated.
  void fill(Tensor& tensor);

 private:
  std::span<const std::uint8_t> bytes_;
};

inline void Choices::fill(Tensor& tensor) {
  constexpr std::size_t kMostChoices = 64;  // so that one tensor does not use up all bytes
  const std::size_t period = 1 + below(kMostChoices);
  const auto each = [&](auto* values, auto&& draw) {
    const auto size = static_cast<std::size_t>(tensor.size());
    for (std::size_t i = 0; i < size; ++i) values[i] = i < period ? draw() : values[i - period];
  };
  switch (tensor.dtype()) {
    case DType::float32: return each(tensor.data<float>(), [&] { return number(); });
    case DType::bfloat16: return each(tensor.data<BFloat16>(), [&] { return BFloat16(number()); });
    case DType::float16: return each(tensor.data<Float16>(), [&] { return Float16(number()); });
    case DType::int8: return each(tensor.data<std::int8_t>(), [&] { return static_cast<std::int8_t>(byte()); });
    case DType::int32: return each(tensor.data<std::int32_t>(), [&] { return static_cast<std::int32_t>(integer()); });
    case DType::int64: return each(tensor.data<std::int64_t>(), [&] { return integer(); });
    case DType::uint8: return each(tensor.data<std::uint8_t>(), [&] { return byte(); });
    case DType::boolean: return each(tensor.data<bool>(), [&] { return (byte() & 1) != 0; });
  }
}

}  // namespace d2deploy::fuzz
