// The sliding window of convolutions and pooling: its arguments in all their spellings, and its geometry.
#pragma once
#include <cstdint>
#include <string>

#include "core/args.h"
#include "d2deploy/tensor.h"

namespace d2deploy {

/// What Conv, ConvTranspose and the pools say about their window; 0 and [] stand for "not given".
/// operators/window_fields.h has the fields that go with it.
struct WindowParams {
  Ints kernels, strides, pads, dilations;
  std::int64_t kernel = 0, kernel_h = 0, kernel_w = 0;
  std::int64_t stride = 0, stride_h = 0, stride_w = 0;
  std::int64_t pad = 0, pad_t = 0, pad_l = 0, pad_b = 0, pad_r = 0;
  std::int64_t dilation = 0, dilation_h = 0, dilation_w = 0;
  std::int64_t legacy_pad = 0;
  bool global_pooling = false;
  std::string order = "NCHW";
};

/// A window, and the number of places that it takes on an image.
struct Window {
  std::int64_t kernel_h = 0, kernel_w = 0;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_t = 0, pad_l = 0, pad_b = 0, pad_r = 0;  ///< below 0 (cells cut off) only where legacy_pad is 2
  std::int64_t dilation_h = 1, dilation_w = 1;
  std::int64_t out_h = kUnknown, out_w = kUnknown;
};

/// The arguments with all spellings merged, without an image: pads as given, no output size.
/// `type` is the operator's, for messages. Throws InvalidModel where they contradict each other, and
/// Unsupported for windows that are not two-dimensional.
Window resolve(const char* type, const WindowParams& params);
/// The same for a window whose kernel does not matter and is not looked at.
Window resolve_without_kernel(const char* type, const WindowParams& params);

/// The window on images of `height` x `width`; an unknown side leaves its pads as given and its output
/// unknown. Throws InvalidArgument, with the numbers, where the window is longer than the padded image.
Window resolve(const char* type, const WindowParams& params, std::int64_t height, std::int64_t width);

}  // namespace d2deploy
