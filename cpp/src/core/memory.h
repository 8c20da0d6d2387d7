// Aligned host memory.
#pragma once
#include <cstddef>
#include <memory>
#include <string>

namespace d2deploy {

inline constexpr std::size_t kAlignment = 64;  // a cache line, and an AVX-512 register

constexpr std::size_t align_up(std::size_t bytes, std::size_t to = kAlignment) { return (bytes + to - 1) / to * to; }

/// Bytes that this process can still use without others, or itself, being stopped for lack of memory; a guess from
/// what the system and the process's control groups say. The largest size_t where neither says anything. `root`: the
/// folder in which proc and sys are.
std::size_t available_memory(const std::string& root = "/");

/// Throws DeviceError where so large a block does not fit into available_memory(): Linux would grant it and end the
/// process later. Small ones are not asked about.
void check_available(std::size_t bytes);

/// Uninitialised memory aligned to kAlignment; large blocks ask the system for huge pages, which
/// makes the first touch several times cheaper. Throws DeviceError, with the size, where there is none,
/// and as check_available.
std::shared_ptr<void> allocate(std::size_t bytes);

}  // namespace d2deploy
