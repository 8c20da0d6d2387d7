#include "operators/roi_align_rotated/roi_align_rotated.h"

#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/threads.h"
#include "kernels/bilinear.h"
#include "kernels/rotated_boxes.h"

namespace d2deploy {

namespace {

using Params = RoIAlignRotated::Params;

// One RoI, ready to be pooled. Offset (u, v) from its centre is (u cos + v sin + x, v cos - u sin + y) in the map.
struct Target {
  const float* image;
  SampleLine across, down;  // from the RoI's centre
  float x, y, cos, sin;
};

SampleLine make_side(const Params& p, float size, std::int64_t pooled) {
  float length = size * p.spatial_scale;
  if (!p.aligned) length = std::max(length, 1.0F);
  return SampleLine::of(-length / 2, length, pooled, p.sampling_ratio);
}

Target make_target(const Params& p, const Call& call, std::int64_t row) {
  const Tensor& x = call.input(0);
  const std::int64_t columns = call.input(1).dim(1);
  const float* roi = call.in<float>(1) + row * columns;
  const RotatedBox box = load_rotated_box(roi + columns - 5);
  const std::int64_t image = image_index("RoIAlignRotated", row, columns == 6 ? roi[0] : 0.0F, x.dim(0));
  const float offset = p.aligned ? 0.5F : 0.0F;
  const double theta = static_cast<double>(box.angle) * (std::numbers::pi / 180);
  return {x.data<float>() + image * strides4(x.type()).n,
          make_side(p, box.w, p.pooled_w),
          make_side(p, box.h, p.pooled_h),
          box.x * p.spatial_scale - offset,
          box.y * p.spatial_scale - offset,
          static_cast<float>(std::cos(theta)),
          static_cast<float>(std::sin(theta))};
}

struct Interval {
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();

  // Leaves the t where from <= base + slope t <= to.
  void limit(double base, double slope, double from, double to) {
    if (std::fabs(slope) < 1e-6) return;  // a sample further out is found by looking
    const double a = (from - base) / slope, b = (to - base) / slope;
    low = std::max(low, std::min(a, b));
    high = std::min(high, std::max(a, b));
  }
};

// The samples of a bin that wait to be added, many at once so that each channel is visited seldom.
class Taps {
 public:
  Taps(const Tensor& x, const Strides4& y) : x_(strides4(x.type())), channels_(x.dim(1)), y_stride_(y.c) {}

  void add(const Target& t, const Sample& v, const Sample& h, float* y) {
    if (count_ == taps_.size()) flush(t, y);
    taps_[count_++] = {{v.low * x_.h + h.low * x_.w, v.low * x_.h + h.high * x_.w, v.high * x_.h + h.low * x_.w,
                        v.high * x_.h + h.high * x_.w},
                       {(1 - v.fraction) * (1 - h.fraction), (1 - v.fraction) * h.fraction,
                        v.fraction * (1 - h.fraction), v.fraction * h.fraction}};
  }

  void flush(const Target& t, float* y) {
    if (x_.c == 1 && y_stride_ == 1)
      for (std::size_t k = 0; k < count_; ++k) add_to_all(taps_[k], t.image, y);
    else
      for (std::int64_t c = 0; c < channels_; ++c) y[c * y_stride_] += sum(t.image + c * x_.c);
    count_ = 0;
  }

 private:
  struct Tap {
    std::array<std::int64_t, 4> cell;
    std::array<float, 4> weight;
  };

  void add_to_all(const Tap& tap, const float* x, float* y) const {
    const float *a = x + tap.cell[0], *b = x + tap.cell[1], *c = x + tap.cell[2], *d = x + tap.cell[3];
    const auto [wa, wb, wc, wd] = tap.weight;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < channels_; ++i) y[i] += wa * a[i] + wb * b[i] + wc * c[i] + wd * d[i];
  }

  float sum(const float* x) const {
    float total = 0;
    for (std::size_t k = 0; k < count_; ++k) {
      const auto& [cell, weight] = taps_[k];
      total += weight[0] * x[cell[0]] + weight[1] * x[cell[1]] + weight[2] * x[cell[2]] + weight[3] * x[cell[3]];
    }
    return total;
  }

  Strides4 x_;
  std::int64_t channels_, y_stride_;
  std::size_t count_ = 0;
  std::array<Tap, 64> taps_;
};

void pool_bin(const Target& t, const Shape& x, std::int64_t ph, std::int64_t pw, Taps& taps, float* y) {
  const double width = static_cast<double>(x[3]), height = static_cast<double>(x[2]);
  if (x[2] == 0 || x[3] == 0 || !std::isfinite(t.x) || !std::isfinite(t.y) || !std::isfinite(t.cos)) return;
  // The offsets v that the map reaches: those of its corners, one cell further out.
  Interval reach{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  for (const double corner_x : {-1.0, width})
    for (const double corner_y : {-1.0, height}) {
      const double v = (corner_x - t.x) * t.sin + (corner_y - t.y) * t.cos;
      reach.low = std::min(reach.low, v);
      reach.high = std::max(reach.high, v);
    }
  const SampleRange rows = t.down.within(ph, reach.low, reach.high);
  for (std::int64_t i = rows.begin; i < rows.end; ++i) {
    const float v = t.down.position(ph, i);
    if (!std::isfinite(v)) continue;  // it would not limit the columns
    Interval inside;
    inside.limit(static_cast<double>(v * t.sin) + t.x, t.cos, -1, width);
    inside.limit(static_cast<double>(v * t.cos) + t.y, -t.sin, -1, height);
    const SampleRange columns = t.across.within(pw, inside.low, inside.high);
    for (std::int64_t j = columns.begin; j < columns.end; ++j) {
      const float u = t.across.position(pw, j);
      Sample vertical{}, horizontal{};
      if (locate(v * t.cos - u * t.sin + t.y, x[2], vertical) && locate(u * t.cos + v * t.sin + t.x, x[3], horizontal))
        taps.add(t, vertical, horizontal, y);
    }
  }
}

void pool_row(const Params& p, const Call& call, std::int64_t row) {
  const Target t = make_target(p, call, row);
  const Shape& x = call.input(0).shape();
  const Strides4 s = strides4(call.output(0).type());
  const float samples = static_cast<float>(t.across.grid) * static_cast<float>(t.down.grid);
  Taps taps(call.input(0), s);
  for (std::int64_t ph = 0; ph < p.pooled_h; ++ph)
    for (std::int64_t pw = 0; pw < p.pooled_w; ++pw) {
      float* y = call.out<float>(0) + row * s.n + ph * s.h + pw * s.w;
      for (std::int64_t c = 0; c < x[1]; ++c) y[c * s.c] = 0;
      if (samples == 0) continue;
      pool_bin(t, x, ph, pw, taps, y);
      taps.flush(t, y);
      for (std::int64_t c = 0; c < x[1]; ++c) y[c * s.c] /= samples;
    }
}

void run(const Params& p, const Call& call) {
  if (call.output(0).size() == 0) return;
  parallel_for(call.input(1).dim(0), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) pool_row(p, call, row);
  });
}

}  // namespace

template <>
Kernels<RoIAlignRotated> kernels<RoIAlignRotated, Backend::cpu>() {
  return {{"direct_f32", accepts_all<RoIAlignRotated>, run}};
}

}  // namespace d2deploy
