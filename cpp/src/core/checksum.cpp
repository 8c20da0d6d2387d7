#include "core/checksum.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "core/threads.h"

namespace d2deploy {

namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);
constexpr std::uint64_t kPrime = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio, odd

void mix(std::uint64_t& lane, const void* data, std::size_t bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, data, bytes);
  lane = (std::rotl(lane, 29) ^ word) * kPrime;
}

}  // namespace

void Checksum::add(const void* data, std::size_t bytes) {
  const auto* p = static_cast<const std::byte*>(data);
  std::size_t at = 0;
  for (; at + sizeof lanes_ <= bytes; at += sizeof lanes_)
    for (std::size_t lane = 0; lane < lanes_.size(); ++lane) mix(lanes_[lane], p + at + lane * kWord, kWord);
  for (; at < bytes; at += kWord) mix(lanes_[0], p + at, std::min(kWord, bytes - at));
  const std::uint64_t size = bytes;
  mix(lanes_[1], &size, kWord);
}

std::uint64_t Checksum::result() const {
  std::uint64_t all = 0;
  for (const auto lane : lanes_) all = (std::rotl(all, 23) ^ lane) * kPrime;
  return all ^ all >> 32;
}

std::uint64_t checksum(std::string_view text) {
  Checksum sum;
  sum.add(text);
  return sum.result();
}

std::uint64_t checksum_in_parts(std::span<const std::byte> bytes) {
  std::vector<std::uint64_t> parts((bytes.size() + kChecksumPart - 1) / kChecksumPart);
  parallel_for(static_cast<std::int64_t>(parts.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      const auto part = bytes.subspan(i * kChecksumPart, std::min(kChecksumPart, bytes.size() - i * kChecksumPart));
      Checksum sum;
      sum.add(part.data(), part.size());
      parts[i] = sum.result();
    }
  });
  return checksum_of_parts(parts);
}

std::uint64_t checksum_of_parts(std::span<const std::uint64_t> parts) {
  Checksum sum;
  sum.add(parts.data(), parts.size_bytes());
  return sum.result();
}

}  // namespace d2deploy
