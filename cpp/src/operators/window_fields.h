// The arguments of a sliding window as fields, for operators whose Params derive from WindowParams.
#pragma once
#include "kernels/window.h"
#include "operators/operator.h"

namespace d2deploy {

/// An operator whose Params derive from WindowParams takes them with `inherited` and adds its own with `joined`.
inline constexpr auto kWindowFields = std::array{
    field<&WindowParams::kernels>("kernels", Bound::positive, "height and width of the window"),
    field<&WindowParams::strides>("strides", Bound::positive,
                                  "steps from window to window, down and right; 1 where not given"),
    field<&WindowParams::pads>("pads", Bound::non_negative,
                               "cells added to the image: top, left, bottom, right; 0 where not given"),
    field<&WindowParams::dilations>("dilations", Bound::positive,
                                    "steps from cell to cell in a window; 1 where not given"),
    field<&WindowParams::kernel>("kernel", Bound::non_negative, "both of kernels"),
    field<&WindowParams::kernel_h>("kernel_h", Bound::non_negative, "first of kernels"),
    field<&WindowParams::kernel_w>("kernel_w", Bound::non_negative, "second of kernels"),
    field<&WindowParams::stride>("stride", Bound::non_negative, "both of strides"),
    field<&WindowParams::stride_h>("stride_h", Bound::non_negative, "first of strides"),
    field<&WindowParams::stride_w>("stride_w", Bound::non_negative, "second of strides"),
    field<&WindowParams::pad>("pad", Bound::non_negative, "all of pads"),
    field<&WindowParams::pad_t>("pad_t", Bound::non_negative, "first of pads"),
    field<&WindowParams::pad_l>("pad_l", Bound::non_negative, "second of pads"),
    field<&WindowParams::pad_b>("pad_b", Bound::non_negative, "third of pads"),
    field<&WindowParams::pad_r>("pad_r", Bound::non_negative, "fourth of pads"),
    field<&WindowParams::dilation>("dilation", Bound::non_negative, "both of dilations"),
    field<&WindowParams::dilation_h>("dilation_h", Bound::non_negative, "first of dilations"),
    field<&WindowParams::dilation_w>("dilation_w", Bound::non_negative, "second of dilations"),
    field<&WindowParams::legacy_pad>(
        "legacy_pad", Bound::non_negative,
        "0: pads as given; 1: none; 2: enough for ceil(size / stride) windows; 3: Caffe's pooling, windows rounded "
        "up"),
    field<&WindowParams::global_pooling>("global_pooling", Bound::any, "1: the window is the whole image"),
    field<&WindowParams::order>("order", Bound::any, "order of the dimensions: NCHW")};

}  // namespace d2deploy
