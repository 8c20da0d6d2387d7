// The kernel of Conv and of what is fused with it, by cuDNN.
#pragma once
#include "operators/conv/conv.h"
#include "operators/cudnn_conv.h"

namespace d2deploy {

inline std::string reject_cudnn_conv(const CallSite& site, ConvTail tail) {
  if (!site.is_constant(1)) return "the weights are not constant";
  if (site.inputs.size() > 2 && !site.is_constant(2)) return "the bias is not constant";
  if (!site.outputs[0].shape.known()) return "the size of the output is not known";
  if (site.outputs[0].shape.size() == 0) return "the output is empty";
  if (site.inputs[0].layout != Layout::channels_last) return "X is not channels-last";
  if (tail.add && site.inputs[3].dtype != site.inputs[0].dtype) return "the addend has another type than X";
  return {};
}

template <class Op>
Prepared prepare_cudnn_conv(const ConvParams& p, const CallSite& site) {
  const TensorType &x = site.inputs[0], &y = site.outputs[0];
  const std::int64_t runs = cudnn_runs(site, x.shape[0]);
  CudnnCall call;
  call.problem = {.x = x.dtype,
                  .y = y.dtype,
                  .n = x.shape[0] / runs,
                  .c = x.shape[1],
                  .h = x.shape[2],
                  .w = x.shape[3],
                  .k = y.shape[1],
                  .group = p.group,
                  .window = resolve(Op::signature.type, p, x.shape[2], x.shape[3]),
                  .bias = site.inputs.size() > 2,
                  .add = Op::tail.add,
                  .relu = Op::tail.relu};
  call.runs = runs;
  call.form = "filters";
  call.filters = [](const Tensor& plain, float* filters) {
    const Strides4 s = strides4(plain.type());
    const auto* from = plain.data<float>();
    for (std::int64_t k = 0; k < plain.dim(0); ++k)
      for (std::int64_t i = 0; i < plain.dim(2); ++i)
        for (std::int64_t j = 0; j < plain.dim(3); ++j)
          for (std::int64_t c = 0; c < plain.dim(1); ++c) *filters++ = from[k * s.n + c * s.c + i * s.h + j * s.w];
  };
  return prepare_cudnn(site, call);
}

template <class Op>
Kernels<Op> conv_cudnn_kernels() {
  KernelOf<ConvParams> kernel{
      "cudnn", [](const ConvParams&, const CallSite& site) { return reject_cudnn_conv(site, Op::tail); },
      [](const ConvParams&, const Call& call) { run_cudnn(call, call.output(0).raw()); }, prepare_cudnn_conv<Op>};
  kernel.takes = Takes::any_real;
  return {kernel};
}

}  // namespace d2deploy
