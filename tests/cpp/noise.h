// Random numbers, the same on every machine.
#pragma once
#include <cstdint>
#include <random>
#include <vector>

namespace d2deploy {

/// Of a normal distribution around 0, with `scale` as standard deviation.
inline std::vector<float> noise(std::int64_t count, unsigned seed, float scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (auto& v : values) v = scale * normal(random);
  return values;
}

}  // namespace d2deploy
