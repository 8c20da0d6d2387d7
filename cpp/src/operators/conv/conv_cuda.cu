#include "operators/conv/conv_cuda.h"

#include "kernels/simt/narrow.h"
#include "operators/conv_cuda.h"

namespace d2deploy::conv_on_gpu {

namespace {

simt::ConvAxis axis(std::int64_t size, std::int64_t count, std::int64_t taps, std::int64_t stride,
                    std::int64_t dilation, std::int64_t pad) {
  return {size, count, taps, stride, dilation, -pad, 0, 1, 0, 1};
}

Window window_of(const char* type, const ConvParams& p, const TensorType& x) {
  return resolve(type, p, x.shape[2], x.shape[3]);
}

template <class T>
const T* addend_of(const Call& call, ConvTail tail) {
  return tail.add ? device_in<T>(call, 3) : nullptr;
}
const float* bias_of(const Call& call) { return call.has_input(2) ? device_in<float>(call, 2) : nullptr; }

template <class T, class Y>
void convolve(const Window& at, std::int64_t groups, const Call& call, ConvTail tail) {
  const Tensor &x = call.input(0), &w = call.input(1), &y = call.output(0);
  const simt::MapSteps filters = map_steps(w);
  const simt::ConvJob<T, Y> job{.x = device_in<T>(call, 0),
                                .x_steps = map_steps(x),
                                .channels_last = x.layout() == Layout::channels_last,
                                .filters = device_in<float>(call, 1),
                                .output_step = filters.n,
                                .channel_step = filters.c,
                                .h_step = filters.h,
                                .w_step = filters.w,
                                .transposed = false,
                                .axes = {axis(x.dim(2), at.out_h, at.kernel_h, at.stride_h, at.dilation_h, at.pad_t),
                                         axis(x.dim(3), at.out_w, at.kernel_w, at.stride_w, at.dilation_w, at.pad_l)},
                                .turned_down = {},
                                .turned_across = {},
                                .groups = groups,
                                .in_channels = w.dim(1),
                                .out_channels = w.dim(0) / groups,
                                .y = {device_out<Y>(call, 0), map_steps(y), bias_of(call), addend_of<T>(call, tail),
                                      tail.add ? map_steps(call.input(3)) : simt::MapSteps{}, tail.relu}};
  launch_convolve("Conv: direct", call, job, at.out_h * at.out_w);
}

}  // namespace

std::string reject_direct(const CallSite& site) {
  return reject_huge_convolution(site.outputs[0], site.inputs[1].shape.size(1, 4));
}

void run_direct(const char* type, const ConvParams& p, const Call& call, ConvTail tail) {
  const Window at = window_of(type, p, call.input(0).type());
  with_sum_types(call, [&]<class T, class Y>(T, Y) { convolve<T, Y>(at, p.group, call, tail); });
}

std::string reject_narrow(const char* type, const ConvParams& p, const CallSite& site) {
  const TensorType &x = site.inputs[0], &w = site.inputs[1];
  if (x.layout != Layout::channels_last || (site.inputs.size() > 3 && site.inputs[3].layout != x.layout))
    return "takes channels-last images";
  const Window at = resolve(type, p);
  const bool plain = at.kernel_h == 1 && at.kernel_w == 1 && at.stride_h == 1 && at.stride_w == 1 && at.pad_t == 0 &&
                     at.pad_l == 0 && at.pad_b == 0 && at.pad_r == 0 && p.legacy_pad == 0 && p.group == 1;
  if (!plain) return "takes windows of one cell without strides, pads and groups";
  const char* why = nullptr;
  with_real_type(x.dtype, [&]<class T>(T) { why = simt::reject_narrow<T>(w.shape[0], w.shape[1]); });
  return why == nullptr ? std::string() : why;
}

void run_narrow(const char* type, const ConvParams& p, const Call& call, ConvTail tail) {
  const Tensor &x = call.input(0), &y = call.output(0);
  if (y.size() == 0) return;
  if (reinterpret_cast<std::uintptr_t>(x.raw()) % 16 != 0) return run_direct(type, p, call, tail);
  with_sum_types(call, [&]<class T, class Y>(T, Y) {
    const simt::NarrowJob<T, Y> job{device_in<T>(call, 0),
                                    device_in<float>(call, 1),
                                    bias_of(call),
                                    addend_of<T>(call, tail),
                                    device_out<Y>(call, 0),
                                    static_cast<int>(y.dim(1)),
                                    static_cast<int>(x.dim(1)),
                                    tail.relu};
    const std::int64_t cells = x.dim(2) * x.dim(3);
    simt::launch_narrow("Conv: narrow", job, x.dim(0) * cells, Extent{rows_of_input(call, 0), cells}, stream_of(call));
  });
}

}  // namespace d2deploy::conv_on_gpu
