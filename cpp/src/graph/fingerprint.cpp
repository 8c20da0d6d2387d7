#include "graph/fingerprint.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

namespace d2deploy {

namespace {

// Four lanes of words, so that multiplications overlap: weights are hundreds of megabytes.
class Mixer {
 public:
  void add(const void* data, std::size_t bytes) {
    const auto* p = static_cast<const std::byte*>(data);
    std::size_t at = 0;
    for (; at + sizeof lanes_ <= bytes; at += sizeof lanes_)
      for (std::size_t lane = 0; lane < lanes_.size(); ++lane) mix(lanes_[lane], p + at + lane * kWord, kWord);
    for (; at < bytes; at += kWord) mix(lanes_[0], p + at, std::min(kWord, bytes - at));
    const std::uint64_t size = bytes;
    mix(lanes_[1], &size, kWord);
  }
  void add(const std::string& text) { add(text.data(), text.size()); }

  std::uint64_t result() const {
    std::uint64_t all = 0;
    for (const auto lane : lanes_) all = (std::rotl(all, 23) ^ lane) * kPrime;
    return all ^ all >> 32;
  }

 private:
  static constexpr std::size_t kWord = sizeof(std::uint64_t);
  static constexpr std::uint64_t kPrime = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio, odd

  static void mix(std::uint64_t& lane, const void* data, std::size_t bytes) {
    std::uint64_t word = 0;
    std::memcpy(&word, data, bytes);
    lane = (std::rotl(lane, 29) ^ word) * kPrime;
  }

  std::array<std::uint64_t, 4> lanes_{1, 2, 3, 4};
};

}  // namespace

std::uint64_t fingerprint(const Graph& graph) {
  Mixer mixer;
  for (const auto& node : graph.nodes) mixer.add(to_text(node));
  for (const auto& name : graph.outputs) mixer.add(name);
  for (const auto& [name, tensor] : graph.constants) {
    mixer.add(name);
    mixer.add(to_string(tensor.shape()));
    mixer.add(tensor.raw(), static_cast<std::size_t>(tensor.bytes()));
  }
  return mixer.result();
}

}  // namespace d2deploy
