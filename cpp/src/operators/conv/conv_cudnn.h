// The kernel of Conv and of what is fused with it, by cuDNN.
#pragma once
#include "operators/conv/conv.h"
#include "operators/cudnn_conv.h"

namespace d2deploy {

inline std::string reject_cudnn_conv(const CallSite& site, ConvTail tail) {
  if (auto why = reject_cudnn_maps(site); !why.empty()) return why;
  if (tail.add && site.inputs[kConvAddend].dtype != site.inputs[0].dtype) return "the addend has another type than X";
  return {};
}

template <class Op>
Prepared prepare_cudnn_conv(const ConvParams& p, const CallSite& site) {
  const Shape& x = site.inputs[0].shape;
  CudnnCall call = cudnn_maps(site);
  call.problem.group = p.group;
  call.problem.window = resolve(Op::signature.type, p, x[2], x[3]);
  call.problem.add = Op::tail.add;
  call.problem.relu = Op::tail.relu;
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
