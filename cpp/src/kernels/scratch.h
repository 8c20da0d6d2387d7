// Scratch memory of a kernel, cut into arrays.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/arithmetic.h"
#include "core/memory.h"

namespace d2deploy {

/// Hands out aligned arrays of one block of memory. Without a block it only counts, so that the code which
/// lays the arrays out also says how many bytes they need.
class Scratch {
 public:
  explicit Scratch(void* memory = nullptr) : memory_(static_cast<std::byte*>(memory)) {}

  /// Throws InvalidArgument where as many bytes cannot be counted.
  template <class T>
  T* take(std::int64_t count) {
    check<InternalError>(count >= 0, "scratch memory for ", count, " elements");
    constexpr auto kUnit = static_cast<std::int64_t>(kAlignment);
    const std::int64_t offset = bytes_, bytes = checked_product(count, static_cast<std::int64_t>(sizeof(T)));
    bytes_ = checked_sum(checked_sum(bytes_, bytes), kUnit - 1) / kUnit * kUnit;
    return memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + offset);
  }
  std::size_t bytes() const { return static_cast<std::size_t>(bytes_); }

 private:
  std::byte* memory_;
  std::int64_t bytes_ = 0;
};

}  // namespace d2deploy
