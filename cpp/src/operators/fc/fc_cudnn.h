// The kernel of FC and FCRelu by cuDNN: a 1x1 convolution of one column of pixels, the rows.
#pragma once
#include "operators/cudnn_conv.h"
#include "operators/fc/fc.h"

namespace d2deploy {

inline std::string reject_cudnn_fc(const char* type, const FCParams& p, const CallSite& site) {
  if (!site.is_constant(1) || !site.is_constant(2)) return "the weights are not constant";
  return reject_packed_product(type, p, site);
}

template <class Op>
Prepared prepare_cudnn_fc(const FCParams& p, const CallSite& site) {
  const FCSizes sizes = FCSizes::of(Op::signature.type, p, site);
  const std::int64_t runs = site.bounded ? cudnn_runs(site, sizes.rows) : 1, rows = sizes.rows / runs;
  CudnnCall call;
  call.runs = runs;
  call.problem = {.x = site.inputs[0].dtype,
                  .y = site.outputs[0].dtype,
                  .c = sizes.depth,
                  .h = rows,
                  .w = 1,
                  .k = sizes.columns,
                  .window = {.kernel_h = 1, .kernel_w = 1, .out_h = rows, .out_w = 1},
                  .bias = true,
                  .relu = Op::relu};
  call.form = join("matrix, ", site.inputs[1].layout);
  call.filters = [](const Tensor& plain, float* filters) {  // as it lies in memory
    std::copy_n(plain.data<float>(), plain.size(), filters);
  };
  return prepare_cudnn(site, call);
}

template <class Op>
Kernels<Op> fc_cudnn_kernels() {
  KernelOf<FCParams> kernel{
      "cudnn", [](const FCParams& p, const CallSite& site) { return reject_cudnn_fc(Op::signature.type, p, site); },
      [](const FCParams&, const Call& call) { run_cudnn(call, call.output(0).raw()); }, prepare_cudnn_fc<Op>};
  kernel.takes = Takes::any_real;
  return {kernel};
}

}  // namespace d2deploy
