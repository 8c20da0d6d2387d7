// The arguments of a sliding window as fields, for operators whose Params derive from WindowParams.
#pragma once
#include <tuple>

#include "kernels/window.h"
#include "operators/operator.h"

namespace d2deploy {

/// All fields of WindowParams; an operator adds its own with std::tuple_cat.
template <class Params>
constexpr auto window_fields() {
  using W = WindowParams;
  const auto at_least_0 = Bound::non_negative;
  const auto one = [](const char* name, auto member, Bound bound, const char* doc) {
    using T = std::remove_cvref_t<decltype(std::declval<W&>().*member)>;
    return field(name, static_cast<T Params::*>(member), bound, doc);
  };
  return std::tuple{
      one("kernels", &W::kernels, Bound::positive, "height and width of the window"),
      one("strides", &W::strides, Bound::positive, "steps from window to window, down and right; 1 where not given"),
      one("pads", &W::pads, at_least_0, "cells added to the image: top, left, bottom, right; 0 where not given"),
      one("dilations", &W::dilations, Bound::positive, "steps from cell to cell in a window; 1 where not given"),
      one("kernel", &W::kernel, at_least_0, "both of kernels"),
      one("kernel_h", &W::kernel_h, at_least_0, "first of kernels"),
      one("kernel_w", &W::kernel_w, at_least_0, "second of kernels"),
      one("stride", &W::stride, at_least_0, "both of strides"),
      one("stride_h", &W::stride_h, at_least_0, "first of strides"),
      one("stride_w", &W::stride_w, at_least_0, "second of strides"),
      one("pad", &W::pad, at_least_0, "all of pads"),
      one("pad_t", &W::pad_t, at_least_0, "first of pads"),
      one("pad_l", &W::pad_l, at_least_0, "second of pads"),
      one("pad_b", &W::pad_b, at_least_0, "third of pads"),
      one("pad_r", &W::pad_r, at_least_0, "fourth of pads"),
      one("dilation", &W::dilation, at_least_0, "both of dilations"),
      one("dilation_h", &W::dilation_h, at_least_0, "first of dilations"),
      one("dilation_w", &W::dilation_w, at_least_0, "second of dilations"),
      one("legacy_pad", &W::legacy_pad, at_least_0,
          "0: pads as given; 1: none; 2: enough for ceil(size / stride) windows; 3: Caffe's pooling, windows rounded "
          "up"),
      one("global_pooling", &W::global_pooling, Bound::any, "1: the window is the whole image"),
      one("order", &W::order, Bound::any, "order of the dimensions: NCHW")};
}

}  // namespace d2deploy
