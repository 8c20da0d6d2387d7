// The kernel of ConvTranspose by cuDNN, for windows that do not overlap: a 1x1 convolution into all cells of the
// window, which are then put where they belong.
#pragma once
#include "core/memory.h"
#include "kernels/simt/rearrange.h"
#include "operators/conv_transpose/conv_transpose.h"
#include "operators/cudnn_conv.h"

namespace d2deploy {

inline TransposedWindow transposed_window(const char* type, const ConvTransposeParams& p, const CallSite& site) {
  return ConvTranspose::window(type, p, {site.inputs, {}});
}

inline std::string reject_cudnn_conv_transpose(const char* type, const ConvTransposeParams& p, const CallSite& site) {
  if (auto why = reject_cudnn_maps(site); !why.empty()) return why;
  if (p.group != 1) return "takes group=1 only";
  const TransposedWindow at = transposed_window(type, p, site);
  if (at.stride_h != at.kernel_h || at.stride_w != at.kernel_w) return "windows overlap or leave gaps";
  if (at.pad_t != 0 || at.pad_l != 0 || at.pad_b != 0 || at.pad_r != 0 || at.adj_h != 0 || at.adj_w != 0)
    return "takes pads of 0 only";
  return {};
}

template <class Op>
Prepared prepare_cudnn_conv_transpose(const ConvTransposeParams& p, const CallSite& site) {
  const TransposedWindow at = transposed_window(Op::signature.type, p, site);
  const std::int64_t cells = at.kernel_h * at.kernel_w;
  CudnnCall call = cudnn_maps(site);
  call.problem.k *= cells;
  call.problem.window = {.kernel_h = 1, .kernel_w = 1, .out_h = call.problem.h, .out_w = call.problem.w};
  call.problem.relu = Op::relu;
  call.bias_repeats = cells;
  call.form = "transposed filters";
  call.filters = [](const Tensor& plain, float* filters) {
    const Strides4 s = strides4(plain.type());
    const auto* from = plain.data<float>();
    for (std::int64_t i = 0; i < plain.dim(2); ++i)
      for (std::int64_t j = 0; j < plain.dim(3); ++j)
        for (std::int64_t k = 0; k < plain.dim(1); ++k)
          for (std::int64_t c = 0; c < plain.dim(0); ++c) *filters++ = from[c * s.n + k * s.c + i * s.h + j * s.w];
  };
  Prepared prepared = prepare_cudnn(site, call);
  prepared.scratch_bytes += align_up(static_cast<std::size_t>(site.outputs[0].bytes()));
  return prepared;
}

template <class Op>
void run_cudnn_conv_transpose(const ConvTransposeParams&, const Call& call) {
  const Tensor &x = call.input(0), &y = call.output(0);
  void* cells = own_scratch(call);
  run_cudnn(call, cells);
  simt::blocks_to_pixels(call.context.stream, y.dtype(), cells, call.output(0).raw(),
                         {x.dim(0), x.dim(2), x.dim(3), y.dim(2) / x.dim(2), y.dim(3) / x.dim(3), y.dim(1)});
}

template <class Op>
Kernels<Op> conv_transpose_cudnn_kernels() {
  KernelOf<ConvTransposeParams> kernel{"cudnn",
                                       [](const ConvTransposeParams& p, const CallSite& site) {
                                         return reject_cudnn_conv_transpose(Op::signature.type, p, site);
                                       },
                                       run_cudnn_conv_transpose<Op>, prepare_cudnn_conv_transpose<Op>};
  kernel.takes = Takes::any_real;
  return {kernel};
}

}  // namespace d2deploy
