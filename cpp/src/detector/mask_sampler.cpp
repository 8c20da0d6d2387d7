#include "detector/mask_sampler.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace d2deploy {

namespace {

bool has_area(std::span<const float, 4> box) {
  return std::ranges::all_of(box, [](float v) { return std::isfinite(v); }) && box[2] > box[0] && box[3] > box[1];
}

SampledAxis sample_axis(double low, double high, std::int64_t side, std::int64_t size) {
  const auto limit = static_cast<double>(size);
  SampledAxis axis;
  // Like Detectron2 on a CPU: nothing farther than one pixel from the box is looked at.
  axis.begin = static_cast<std::int64_t>(std::clamp(std::floor(low) - 1, 0.0, limit));
  axis.end = static_cast<std::int64_t>(std::clamp(std::ceil(high) + 1, 0.0, limit));
  axis.fraction.reserve(static_cast<std::size_t>(std::max<std::int64_t>(axis.end - axis.begin, 0)));
  for (std::int64_t p = axis.begin; p < axis.end; ++p) {
    const double u = (static_cast<double>(p) + 0.5 - low) / (high - low) * static_cast<double>(side) - 0.5;
    const bool near = u > -1 && u < static_cast<double>(side);
    const double whole = near ? std::floor(u) : -1;
    const std::int64_t cell = static_cast<std::int64_t>(whole) + 1;
    axis.fraction.push_back(near ? u - whole : 0);
    if (axis.segments.empty() || axis.segments.back().cell != cell) axis.segments.push_back({p, p, cell});
    axis.segments.back().end = p + 1;
  }
  return axis;
}

// The value at fractions `fy` and `fx` of the way from the upper left cell.
template <class Patch>
double interpolate(const Patch& p, double fy, double fx) {
  const double left = p.upper_left * (1 - fy) + p.lower_left * fy;
  const double right = p.upper_right * (1 - fy) + p.lower_right * fy;
  return left * (1 - fx) + right * fx;
}

}  // namespace

MaskSampler::MaskSampler(const char* caller, std::span<const float> mask, std::int64_t side,
                         std::span<const float, 4> box, std::int64_t height, std::int64_t width, float threshold)
    : mask_(mask), side_(side), threshold_(static_cast<double>(threshold)) {
  check(side > 0 && side < (std::int64_t{1} << 20) && static_cast<std::int64_t>(mask.size()) == side * side, caller,
        ": a mask of side ", side, " needs side * side values, got ", mask.size());
  check(height >= 0 && width >= 0, caller, ": image size must not be negative, got ", height, " x ", width);
  check(threshold >= 0 && threshold <= 1, caller, ": threshold must be from 0 to 1, got ", threshold);
  constexpr std::int64_t kMostSide = 1 << 24;  // the largest of pictures have a hundredth of it
  check(height <= kMostSide && width <= kMostSide, caller, ": the image is ", height, " x ", width,
        " pixels large, wanted at most ", kMostSide, " on a side");
  if (!has_area(box)) return;
  xs_ = sample_axis(box[0], box[2], side, width);
  ys_ = sample_axis(box[1], box[3], side, height);
}

double MaskSampler::cell(std::int64_t row, std::int64_t column) const {
  const bool inside = row >= 0 && row < side_ && column >= 0 && column < side_;
  return inside ? static_cast<double>(mask_[row * side_ + column]) : 0.0;
}

MaskSampler::Patch MaskSampler::patch(std::int64_t row, std::int64_t column) const {
  return {cell(row - 1, column - 1), cell(row - 1, column), cell(row, column - 1), cell(row, column)};
}

void MaskSampler::append(const AxisSegment& along, const Patch& p, std::vector<Block>& blocks) const {
  constexpr double kRounding =
      1e-14;  // three interpolations, relative to the largest value; 64 units in the last place
  const double rounding = kRounding * (std::fabs(p.upper_left) + std::fabs(p.upper_right) + std::fabs(p.lower_left) +
                                       std::fabs(p.lower_right));
  State state = State::mixed;
  if (std::isfinite(rounding)) {
    const double low = std::min(std::min(p.upper_left, p.upper_right), std::min(p.lower_left, p.lower_right));
    const double high = std::max(std::max(p.upper_left, p.upper_right), std::max(p.lower_left, p.lower_right));
    if (low >= threshold_ + rounding) state = State::set;
    if (high < threshold_ - rounding) state = State::clear;
  }
  if (state != State::mixed && !blocks.empty() && blocks.back().state == state)
    blocks.back().end = along.end;
  else
    blocks.push_back({along.begin, along.end, state, rounding, p});
}

void MaskSampler::blocks_of_columns(const AxisSegment& column, std::vector<Block>& blocks) const {
  blocks.clear();
  for (const AxisSegment& row : ys_.segments) append(row, patch(row.cell, column.cell), blocks);
}

void MaskSampler::blocks_of_rows(const AxisSegment& row, std::vector<Block>& blocks) const {
  blocks.clear();
  for (const AxisSegment& column : xs_.segments) append(column, patch(row.cell, column.cell), blocks);
}

// Down a column the value is linear between two rows of cells, and where from pixel to pixel it changes by far more
// than is rounded, it passes the threshold once: at the pixel that the line says, or beside it.
MaskSampler::Split MaskSampler::split_of(const Block& block, std::int64_t x) const {
  const double fx = xs_.fraction[x - xs_.begin];
  const double* fy = ys_.fraction.data() - ys_.begin;
  const auto value = [&](std::int64_t y) { return interpolate(block.patch, fy[y], fx); };
  const std::int64_t last = block.end - 1;
  const double from = value(block.begin), to = value(last);
  const bool begins_set = from >= threshold_, ends_set = to >= threshold_;
  const double steps = static_cast<double>(last - block.begin);
  if (begins_set == ends_set) {
    // NaN is on no side.
    const double nearest = begins_set ? std::min(from, to) - threshold_ : threshold_ - std::max(from, to);
    return {nearest > block.rounding || steps == 0, begins_set, block.end};
  }
  constexpr double kFar = 1e8;  // fractions, too, are rounded: by 1e-9 in the largest of masks
  if (!(std::fabs(to - from) > kFar * block.rounding * steps)) return {};
  std::int64_t at = block.begin + static_cast<std::int64_t>((threshold_ - from) / (to - from) * steps);
  while (at > block.begin && (value(at) >= threshold_) == ends_set) --at;
  while ((value(at) >= threshold_) == begins_set) ++at;
  return {true, begins_set, at};
}

void MaskSampler::sample_column(const Block& block, std::int64_t x, std::uint8_t* bits) const {
  const double* fy = ys_.fraction.data() + (block.begin - ys_.begin);
  const double fx = xs_.fraction[x - xs_.begin];
  for (std::int64_t i = 0; i < block.end - block.begin; ++i)
    bits[i] = interpolate(block.patch, fy[i], fx) >= threshold_ ? 1 : 0;
}

void MaskSampler::sample_row(const Block& block, std::int64_t y, std::uint8_t* bits) const {
  const double fy = ys_.fraction[y - ys_.begin];
  const double* fx = xs_.fraction.data() + (block.begin - xs_.begin);
  for (std::int64_t i = 0; i < block.end - block.begin; ++i)
    bits[i] = interpolate(block.patch, fy, fx[i]) >= threshold_ ? 1 : 0;
}

void MaskSampler::paste(std::uint8_t* pixels, std::int64_t stride) const {
  std::vector<Block> blocks;
  for (const AxisSegment& row : ys_.segments) {
    blocks_of_rows(row, blocks);
    for (std::int64_t y = row.begin; y < row.end; ++y)
      for (const Block& block : blocks) {
        std::uint8_t* begin = pixels + (y - ys_.begin) * stride + (block.begin - xs_.begin);
        if (block.state == State::mixed)
          sample_row(block, y, begin);
        else
          std::fill_n(begin, block.end - block.begin, block.state == State::set ? std::uint8_t{1} : std::uint8_t{0});
      }
  }
}

}  // namespace d2deploy
