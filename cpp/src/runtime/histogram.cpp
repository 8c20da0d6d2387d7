#include "runtime/histogram.h"

#include <algorithm>
#include <cmath>

#include "core/element_type.h"

namespace d2deploy {

bool Histogram::add(const Tensor& values) {
  const auto all = values.values<float>();
  float low = 0, high = 0;
  bool finite = true;
  for (const float x : all) {
    low = std::min(low, x);
    high = std::max(high, x);
    finite = finite && std::fabs(x) <= std::numeric_limits<float>::max();
  }
  if (!finite) return false;
  low_ = std::min(low_, low);
  high_ = std::max(high_, high);
  seen_ = seen_ || !all.empty();
  widen_to(std::max(-low, high));
  if (width_ == 0) return true;
  constexpr std::size_t kSamples = 1 << 18;
  const std::size_t step = all.size() / kSamples + 1;
  for (std::size_t i = 0; i < all.size(); i += step) {
    const float magnitude = std::fabs(all[i]);
    if (magnitude == 0) continue;  // 0 stays 0 whatever the range
    ++counts_[std::min(static_cast<std::size_t>(magnitude / width_), kBins - 1)];
  }
  return true;
}

// Doubles the width of the bins until the magnitude fits, two old ones making a new one.
void Histogram::widen_to(float magnitude) {
  if (magnitude == 0) return;
  if (width_ == 0) width_ = std::max(magnitude / kBins, std::numeric_limits<float>::min());
  while (magnitude > width_ * kBins && std::isfinite(width_ * 2)) {
    for (std::size_t i = 0; i < kBins / 2; ++i) counts_[i] = counts_[2 * i] + counts_[2 * i + 1];
    std::fill(counts_.begin() + kBins / 2, counts_.end(), 0);
    width_ *= 2;
  }
}

// In squares of a bin's width, of a range of so many bins divided into `steps`.
double Histogram::squared_error(std::size_t bins, double steps) const {
  const double edge = static_cast<double>(bins), step = edge / steps;
  double inside = 0, cut = 0;
  for (std::size_t i = 0; i < bins; ++i) inside += static_cast<double>(counts_[i]);
  for (std::size_t i = bins; i < kBins; ++i) {
    const double beyond = static_cast<double>(i) + 0.5 - edge;
    cut += static_cast<double>(counts_[i]) * beyond * beyond;
  }
  return inside * step * step / 12 + cut;  // the variance of an even distribution over a step is step^2 / 12
}

Range Histogram::best_range() const {
  const double steps = low_ < 0 ? most_quanta(DType::int8) : most_quanta(DType::uint8);
  std::size_t best = kBins;
  double least = squared_error(kBins, steps);
  for (std::size_t bins = kBins - 1; bins > kBins / 32; --bins) {
    const double error = squared_error(bins, steps);
    if (error >= least) continue;
    least = error;
    best = bins;
  }
  const float edge = width_ * static_cast<float>(best);
  return {std::max(low_, -edge), std::min(high_, edge)};
}

}  // namespace d2deploy
