#include "operators/roi_align_rotated/roi_align_rotated.h"

#include <array>

#include "core/threads.h"
#include "kernels/rotated_roi.h"

namespace d2deploy {

namespace {

using Params = RoIAlignRotated::Params;

// One RoI, ready to be pooled.
struct Target {
  RotatedRoi roi;
  const float* image;
};

Target make_target(const Params& p, const Call& call, std::int64_t row) {
  const Tensor& x = call.input(0);
  const std::int64_t columns = call.input(1).dim(1);
  const float* roi = call.in<float>(1) + row * columns;
  const std::int64_t image = image_index("RoIAlignRotated", row, columns == 6 ? roi[0] : 0.0F, x.dim(0));
  return {RotatedRoi::of(p.grid(), load_rotated_box(roi + columns - 5), p.spatial_scale),
          x.data<float>() + image * strides4(x.type()).n};
}

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

void pool_row(const Params& p, const Call& call, std::int64_t row) {
  const Target t = make_target(p, call, row);
  const Shape& x = call.input(0).shape();
  const Strides4 s = strides4(call.output(0).type());
  const float samples = t.roi.samples();
  Taps taps(call.input(0), s);
  for (std::int64_t ph = 0; ph < p.pooled_h; ++ph)
    for (std::int64_t pw = 0; pw < p.pooled_w; ++pw) {
      float* y = call.out<float>(0) + row * s.n + ph * s.h + pw * s.w;
      for (std::int64_t c = 0; c < x[1]; ++c) y[c * s.c] = 0;
      if (samples == 0) continue;
      t.roi.for_each_sample(x[2], x[3], ph, pw, [&](const Sample& v, const Sample& h) { taps.add(t, v, h, y); });
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
