// Scratch memory of a kernel, cut into arrays.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/memory.h"

namespace d2deploy {

/// Hands out aligned arrays of one block of memory. Without a block it only counts, so that the code which
/// lays the arrays out also says how many bytes they need.
class Scratch {
 public:
  explicit Scratch(void* memory = nullptr) : memory_(static_cast<std::byte*>(memory)) {}

  template <class T>
  T* take(std::int64_t count) {
    const std::size_t offset = bytes_;
    bytes_ += align_up(static_cast<std::size_t>(count) * sizeof(T));
    return memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + offset);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* memory_;
  std::size_t bytes_ = 0;
};

}  // namespace d2deploy
