// The oneDNN kernel of Conv and of what is fused with it: bias, addend and ReLU in the same pass, weights packed once.
#pragma once
#include "operators/conv/conv.h"
#include "operators/onednn_int8.h"

namespace d2deploy {

/// A convolution ready to run; shared by all operators of the family.
class OnednnConv {
 public:
  /// `type` is the operator's name, for messages.
  static Prepared prepare(const char* type, const ConvParams& p, const CallSite& site, ConvTail tail);
  /// Runs on all images of X; Y already holds the addend where there is one.
  void run(const Call& call) const;

 private:
  struct Sized {
    dnnl::convolution_forward convolution;
    dnnl::memory::desc x, y, scratch;
  };
  onednn::ByRows<Sized> convolutions_;
  onednn::SharedWeights weights_;
  Tensor bias_, factors_;
  dnnl::memory::desc bias_desc_, factors_desc_;
};

/// Has the addend lie where the sum is to be: it does already, unless its memory is still needed by others.
void put_addend(const Call& call);
std::string reject_onednn_conv(const char* type, const ConvParams& p, const CallSite& site, ConvTail tail);

/// The kernel for one type of X.
template <class Op>
KernelOf<ConvParams> conv_onednn_kernel(const char* name, DType real) {
  KernelOf<ConvParams> kernel{
      name,
      [](const ConvParams& p, const CallSite& site) {
        return reject_onednn_conv(Op::signature.type, p, site, Op::tail);
      },
      [](const ConvParams&, const Call& call) {
        if (Op::tail.add) put_addend(call);
        onednn::translated([&] { static_cast<const OnednnConv*>(call.state)->run(call); });
      },
      [](const ConvParams& p, const CallSite& site) {
        Prepared prepared =
            onednn::translated([&] { return OnednnConv::prepare(Op::signature.type, p, site, Op::tail); });
        if (Op::tail.add && size_of(site.inputs[kConvAddend].dtype) == size_of(site.outputs[0].dtype))
          prepared.accumulates = kConvAddend;
        return prepared;
      }};
  kernel.real = real;
  return kernel;
}

template <class Op>
Kernels<Op> conv_onednn_kernels() {
  return {conv_onednn_kernel<Op>("onednn_f32", DType::float32), conv_onednn_kernel<Op>("onednn_bf16", DType::bfloat16),
          conv_onednn_kernel<Op>("onednn_int8", DType::int8)};
}

}  // namespace d2deploy
