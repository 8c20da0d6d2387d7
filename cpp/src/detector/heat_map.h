// The peak of one heat map that is resized bicubically.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace d2deploy {

/// How the pixels of one axis are made of the cells of a heat map.
///   u = (pixel + 0.5) * cells / pixels - 0.5; the four cells around u, from floor(u) - 1 on, those beyond the ends
///   being the ones at the ends
class CubicAxis {
 public:
  CubicAxis(std::int64_t cells, std::int64_t pixels);

  struct Segment {
    std::int64_t begin, end;  ///< pixels with the same four cells
    std::int64_t first;       ///< floor(u) + 1: the first of the four in a map that is extended by two cells
  };
  std::int64_t pixels() const { return static_cast<std::int64_t>(weights_.size()); }
  const std::vector<Segment>& segments() const { return segments_; }
  const std::array<float, 4>& weights(std::int64_t pixel) const { return weights_[pixel]; }

 private:
  std::vector<std::array<float, 4>> weights_;
  std::vector<Segment> segments_;
};

/// Of one value or more; of numbers alone.
float highest_of(const float* values, std::int64_t count);

struct Peak {
  float value = 0;
  std::int64_t row = -1, column = -1;  ///< of the first of the highest pixels, in reading order
};

/// Finds peaks; it keeps its memory between maps.
///
/// The four weights of an axis have the sum 1, and the negative ones at least -3/16. The sixteen of a pixel have thus
/// negative ones of -0.4453125 in sum at most, and with the highest and the lowest of the sixteen cells
///   value <= highest + 0.4453125 * (highest - lowest)
/// which rules out most pixels once one near the peak is known.
class PeakFinder {
 public:
  PeakFinder(std::int64_t height, std::int64_t width);

  /// `map` height x width, row-major. A value that is not a number counts as the highest.
  Peak find(const float* map, const CubicAxis& rows, const CubicAxis& columns);

 private:
  const float* bounds_of(const CubicAxis::Segment& row) const { return bounds_.data() + row.first * (width_ + 1); }
  bool extend(const float* map);
  void find_bounds();
  void search(const CubicAxis& rows, const CubicAxis::Segment& row, const CubicAxis& columns,
              const CubicAxis::Segment& column, Peak& best) const;

  std::int64_t height_, width_, stride_;  // stride_: a row of extended_
  std::vector<float> extended_;           // the map with two more cells at each end
  std::vector<float> highest_, lowest_;   // of four neighbours in a row of it
  std::vector<float> bounds_;             // of pixels between the same sixteen cells
  std::vector<float> row_bounds_;         // the highest of a row of those
};

}  // namespace d2deploy
