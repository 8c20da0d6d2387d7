#include "detector/heat_map.h"

#include <algorithm>
#include <cmath>

namespace d2deploy {

namespace {

// Keys' cubic convolution with a = -0.75, as PyTorch has it, for the four cells around a place that is `t` of the way
// from the second to the third.
std::array<float, 4> cubic_weights(double t) {
  constexpr double kA = -0.75;
  const auto near = [](double x) { return ((kA + 2) * x - (kA + 3)) * x * x + 1; };
  const auto far = [](double x) { return ((kA * x - 5 * kA) * x + 8 * kA) * x - 4 * kA; };
  return {static_cast<float>(far(t + 1)), static_cast<float>(near(t)), static_cast<float>(near(1 - t)),
          static_cast<float>(far(2 - t))};
}

float dot(const std::array<float, 4>& weights, const float* values) {
  return weights[0] * values[0] + weights[1] * values[1] + weights[2] * values[2] + weights[3] * values[3];
}

bool before(std::int64_t row, std::int64_t column, const Peak& peak) {
  return row < peak.row || (row == peak.row && column < peak.column);
}

bool beats(float value, std::int64_t row, std::int64_t column, const Peak& best) {
  if (best.row < 0 || value > best.value) return true;
  if (std::isnan(value)) return !std::isnan(best.value) || before(row, column, best);
  return value == best.value && before(row, column, best);
}

}  // namespace

float highest_of(const float* values, std::int64_t count) {
  constexpr std::int64_t kLanes = 16;  // each with a maximum of its own: the loop becomes vector code
  std::array<float, kLanes> highest;
  highest.fill(values[0]);
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) highest[lane] = std::max(highest[lane], values[i + lane]);
  for (; i < count; ++i) highest[0] = std::max(highest[0], values[i]);
  return *std::ranges::max_element(highest);
}

CubicAxis::CubicAxis(std::int64_t cells, std::int64_t pixels) {
  weights_.reserve(static_cast<std::size_t>(pixels));
  const double step = static_cast<double>(cells) / static_cast<double>(pixels);
  for (std::int64_t p = 0; p < pixels; ++p) {
    const double u = (static_cast<double>(p) + 0.5) * step - 0.5, low = std::floor(u);
    // Rounding must not lead beyond the extended map.
    const std::int64_t first = std::clamp<std::int64_t>(static_cast<std::int64_t>(low) + 1, 0, cells);
    weights_.push_back(cubic_weights(u - low));
    if (segments_.empty() || segments_.back().first != first) segments_.push_back({p, p, first});
    segments_.back().end = p + 1;
  }
}

PeakFinder::PeakFinder(std::int64_t height, std::int64_t width)
    : height_(height),
      width_(width),
      stride_(width + 4),
      extended_((height + 4) * stride_),
      highest_((height + 4) * (width + 1)),
      lowest_(highest_.size()),
      bounds_((height + 1) * (width + 1)),
      row_bounds_(height + 1) {}

// Returns whether all values are finite.
bool PeakFinder::extend(const float* map) {
  float check = 0;  // stays 0 unless something is not finite
  for (std::int64_t i = 0; i < height_ * width_; ++i) check += map[i] * 0.0F;
  for (std::int64_t row = 0; row < height_ + 4; ++row) {
    const float* from = map + std::clamp<std::int64_t>(row - 2, 0, height_ - 1) * width_;
    float* to = extended_.data() + row * stride_;
    to[0] = to[1] = from[0];
    std::copy_n(from, width_, to + 2);
    to[width_ + 2] = to[width_ + 3] = from[width_ - 1];
  }
  return check == 0;
}

void PeakFinder::find_bounds() {
  const std::int64_t columns = width_ + 1;
  for (std::int64_t row = 0; row < height_ + 4; ++row) {
    const float* x = extended_.data() + row * stride_;
    float *high = highest_.data() + row * columns, *low = lowest_.data() + row * columns;
    for (std::int64_t i = 0; i < columns; ++i) {
      high[i] = std::max(std::max(x[i], x[i + 1]), std::max(x[i + 2], x[i + 3]));
      low[i] = std::min(std::min(x[i], x[i + 1]), std::min(x[i + 2], x[i + 3]));
    }
  }
  constexpr float kNegative = 0.4453125F;
  constexpr float kRounding = 1e-5F;  // of twenty products and sums, in 80 units in the last place
  for (std::int64_t i = 0; i < (height_ + 1) * columns; ++i) {
    const float *h = highest_.data() + i, *l = lowest_.data() + i;
    const float high = std::max(std::max(h[0], h[columns]), std::max(h[2 * columns], h[3 * columns]));
    const float low = std::min(std::min(l[0], l[columns]), std::min(l[2 * columns], l[3 * columns]));
    bounds_[i] = high + kNegative * (high - low) + kRounding * (std::fabs(high) + std::fabs(low));
  }
  for (std::int64_t row = 0; row < height_ + 1; ++row)
    row_bounds_[row] = highest_of(bounds_.data() + row * columns, columns);
}

void PeakFinder::search(const CubicAxis& rows, const CubicAxis::Segment& row, const CubicAxis& columns,
                        const CubicAxis::Segment& column, Peak& best) const {
  const float* cells = extended_.data() + row.first * stride_ + column.first;
  for (std::int64_t x = column.begin; x < column.end; ++x) {
    const std::array<float, 4>& across = columns.weights(x);
    const std::array<float, 4> values{dot(across, cells), dot(across, cells + stride_),
                                      dot(across, cells + 2 * stride_), dot(across, cells + 3 * stride_)};
    for (std::int64_t y = row.begin; y < row.end; ++y) {
      const float value = dot(rows.weights(y), values.data());
      if (beats(value, y, x, best)) best = {value, y, x};
    }
  }
}

Peak PeakFinder::find(const float* map, const CubicAxis& rows, const CubicAxis& columns) {
  Peak best;
  if (!extend(map)) {
    for (const auto& row : rows.segments())
      for (const auto& column : columns.segments()) search(rows, row, columns, column, best);
    return best;
  }
  find_bounds();
  // The most promising pixels first.
  const auto by_bound = [](const float* bounds) {
    return [=](const CubicAxis::Segment& a, const CubicAxis::Segment& b) { return bounds[a.first] < bounds[b.first]; };
  };
  const auto& top = *std::ranges::max_element(rows.segments(), by_bound(row_bounds_.data()));
  const auto& left = *std::ranges::max_element(columns.segments(), by_bound(bounds_of(top)));
  search(rows, top, columns, left, best);
  for (const auto& row : rows.segments()) {
    if (row_bounds_[row.first] < best.value) continue;
    for (const auto& column : columns.segments())
      if (bounds_of(row)[column.first] >= best.value) search(rows, row, columns, column, best);
  }
  return best;
}

}  // namespace d2deploy
