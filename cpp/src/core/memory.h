// Aligned host memory.
#pragma once
#include <cstddef>
#include <memory>

namespace d2deploy {

inline constexpr std::size_t kAlignment = 64;  // a cache line, and an AVX-512 register

constexpr std::size_t align_up(std::size_t bytes, std::size_t to = kAlignment) { return (bytes + to - 1) / to * to; }

/// Uninitialised memory aligned to kAlignment; large blocks ask the system for huge pages, which
/// makes the first touch several times cheaper. Throws DeviceError, with the size, where there is none.
std::shared_ptr<void> allocate(std::size_t bytes);

}  // namespace d2deploy
