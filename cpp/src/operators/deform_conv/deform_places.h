// What the kernels of DeformConv and DeformConvRelu share: the window, and its offsets and weights at a place.
#pragma once
#include "kernels/deform.h"
#include "operators/deform_conv/deform_conv.h"

namespace d2deploy {

inline DeformedWindow deformed_window(const char* type, const DeformConvParams& p, const Shape& x) {
  const Window at = resolve(type, p, x[2], x[3]);
  return {x[2],        x[3],     at.out_h, at.out_w,      at.kernel_h,   at.kernel_w,  at.stride_h,
          at.stride_w, at.pad_t, at.pad_l, at.dilation_h, at.dilation_w, p.zero_border};
}

/// Reads the offsets and the weight of a cell of the window, for a deformable group, at a place of an image.
class DeformPlaces {
 public:
  DeformPlaces(const DeformedWindow& window, const Call& call)
      : window_(window), offset_(call.in<float>(1)), offset_steps_(strides4(call.input(1).type())) {
    if (!call.has_input(4)) return;
    mask_ = call.in<float>(4);
    mask_steps_ = strides4(call.input(4).type());
  }

  struct Place {
    CellPair<std::int64_t> rows, columns;
    float weight;  ///< 1 without a mask

    bool counts() const { return rows.count > 0 && columns.count > 0; }
  };

  Place at(std::int64_t image, std::int64_t out_y, std::int64_t out_x, std::int64_t group, std::int64_t cell) const {
    const std::int64_t k = group * window_.cells() + cell;
    const Strides4 &o = offset_steps_, &m = mask_steps_;
    const float* offset = offset_ + image * o.n + 2 * k * o.c + out_y * o.h + out_x * o.w;
    const float weight = mask_ == nullptr ? 1.0F : mask_[image * m.n + k * m.c + out_y * m.h + out_x * m.w];
    return {cells_around(window_.y(out_y, cell, offset[0]), window_.height, window_.zero_border),
            cells_around(window_.x(out_x, cell, offset[o.c]), window_.width, window_.zero_border), weight};
  }

 private:
  DeformedWindow window_;
  const float *offset_, *mask_ = nullptr;
  Strides4 offset_steps_, mask_steps_{};
};

}  // namespace d2deploy
