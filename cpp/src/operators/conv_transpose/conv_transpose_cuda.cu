#include "operators/conv_transpose/conv_transpose_cuda.h"

#include "operators/conv_cuda.h"

namespace d2deploy::transposed_on_gpu {

namespace {

template <class T, class Y>
void run_typed(const TransposedWindow& at, std::int64_t groups, const Call& call, bool relu) {
  const Tensor &x = call.input(0), &w = call.input(1), &y = call.output(0);
  const simt::MapSteps filters = map_steps(w);
  const simt::ConvJob<T, Y> job{.x = device_in<T>(call, 0),
                                .x_steps = map_steps(x),
                                .channels_last = x.layout() == Layout::channels_last,
                                .filters = device_in<float>(call, 1),
                                .output_step = filters.c,
                                .channel_step = filters.n,
                                .h_step = filters.h,
                                .w_step = filters.w,
                                .transposed = true,
                                .axes = {},
                                .turned_down = {x.dim(2), at.out_h, at.kernel_h, at.stride_h, at.pad_t},
                                .turned_across = {x.dim(3), at.out_w, at.kernel_w, at.stride_w, at.pad_l},
                                .groups = groups,
                                .in_channels = w.dim(0) / groups,
                                .out_channels = w.dim(1),
                                .y = {device_out<Y>(call, 0),
                                      map_steps(y),
                                      call.has_input(2) ? device_in<float>(call, 2) : nullptr,
                                      nullptr,
                                      {},
                                      relu}};
  const auto most = [](std::int64_t out, std::int64_t stride) { return (out + stride - 1) / stride; };
  launch_convolve("ConvTranspose: direct", call, job, most(at.out_h, at.stride_h) * most(at.out_w, at.stride_w));
}

}  // namespace

std::string reject(const CallSite& site) {
  const Shape& w = site.inputs[1].shape;
  return reject_huge_convolution(site.outputs[0], w[0] * w.size(2, 4));
}

void run(const char* type, const ConvTransposeParams& p, const Call& call, bool relu) {
  const TensorType types[] = {call.input(0).type(), call.input(1).type()};
  const TransposedWindow at = ConvTranspose::window(type, p, {types, {}});
  with_sum_types(call, [&]<class T, class Y>(T, Y) { run_typed<T, Y>(at, p.group, call, relu); });
}

}  // namespace d2deploy::transposed_on_gpu
