// Pictures in which the example model finds something.
#pragma once
#include <cstdint>
#include <random>
#include <vector>

#include "d2deploy/image.h"

namespace d2deploy::testing {

// A picture of squares on a plain ground, which the model knows to find.
class Picture {
 public:
  static constexpr std::int64_t height = 192, width = 256;

  Picture(int squares, unsigned seed) : pixels_(height * width * 3, 90) {
    std::mt19937 random(seed);
    for (int i = 0; i < squares; ++i) {
      const auto side = static_cast<std::int64_t>(30 + random() % 40);
      const auto left = static_cast<std::int64_t>(random() % (width - 70)),
                 top = static_cast<std::int64_t>(random() % (height - 70));
      const std::uint8_t color[] = {static_cast<std::uint8_t>(random()), static_cast<std::uint8_t>(random()), 230};
      for (std::int64_t y = top; y < top + side; ++y)
        for (std::int64_t x = left; x < left + side; ++x)
          for (std::int64_t c = 0; c < 3; ++c) pixels_[static_cast<std::size_t>((y * width + x) * 3 + c)] = color[c];
    }
  }
  ImageView view() const { return {pixels_.data(), height, width, width * 3}; }

 private:
  std::vector<std::uint8_t> pixels_;
};

}  // namespace d2deploy::testing
