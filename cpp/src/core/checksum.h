// Numbers that tell bytes apart which differ by accident. Not for secrets: whoever wants can make others with one
// number.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace d2deploy {

/// Four lanes of words, so that multiplications overlap: weights are hundreds of megabytes. Any single word that is
/// another gives another number.
class Checksum {
 public:
  void add(const void* data, std::size_t bytes);
  void add(std::string_view text) { add(text.data(), text.size()); }
  std::uint64_t result() const;

 private:
  std::array<std::uint64_t, 4> lanes_{1, 2, 3, 4};
};

std::uint64_t checksum(std::string_view text);

/// Of so many bytes at a time, then of these numbers: parts can be looked at in several threads.
inline constexpr std::size_t kChecksumPart = std::size_t{1} << 20;
std::uint64_t checksum_in_parts(std::span<const std::byte> bytes);
/// The same from the numbers of the parts.
std::uint64_t checksum_of_parts(std::span<const std::uint64_t> parts);

}  // namespace d2deploy
