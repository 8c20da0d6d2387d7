// How often which magnitudes come in a value, and the range that loses least when it is divided into few steps.
#pragma once
#include <array>
#include <cstdint>

#include "d2deploy/tensor.h"
#include "graph/calibration.h"

namespace d2deploy {

class Histogram {
 public:
  /// Counts the elements of a float32 tensor; of large ones some thousand, spread over all, and the extremes. False
  /// where an element is not finite: nothing is counted then.
  bool add(const Tensor& values);
  bool empty() const { return !seen_; }
  /// The range whose division into the steps of 8 bits makes the least squared error, what is cut off included.
  Range best_range() const;

 private:
  static constexpr std::size_t kBins = 2048;

  void widen_to(float magnitude);
  double squared_error(std::size_t bins, double steps) const;

  std::array<std::uint64_t, kBins> counts_{};  // of magnitudes; bin i begins at i * width_
  float width_ = 0, low_ = 0, high_ = 0;
  bool seen_ = false;
};

}  // namespace d2deploy
