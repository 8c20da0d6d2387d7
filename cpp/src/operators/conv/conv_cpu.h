// The portable kernel of Conv and of what is fused with it.
#pragma once
#include "kernels/conv.h"
#include "operators/conv/conv.h"

namespace d2deploy {

inline MapView map_view(const Tensor& t) {
  const Strides4 s = strides4(t.type());
  // The loops write through the view of outputs only.
  return {const_cast<float*>(t.data<float>()), t.dim(1), t.dim(2), t.dim(3), s.n, s.c, s.h, s.w};
}

/// Filters are packed once where they are constant, else in every run.
template <class Op>
Prepared prepare_direct(const ConvParams& p, const CallSite& site) {
  Prepared prepared;
  if (!site.is_constant(1)) {
    prepared.scratch_bytes = static_cast<std::size_t>(site.inputs[1].bytes());
    return prepared;
  }
  const auto pack = [&](const Tensor& plain) -> Constant::Packed {
    auto packed = std::make_shared<Tensor>(Tensor::allocate(plain.type()));
    pack_filters(map_view(plain), plain.dim(0), p.group, packed->data<float>());
    // Small nets keep both forms: nothing is gained by unpacking.
    return {packed, static_cast<std::size_t>(plain.bytes()), [plain] { return plain; }};
  };
  prepared.state = site.constants[1]->packed(join("direct, group ", p.group), "Conv/direct_f32", pack);
  return prepared;
}

template <class Op>
void run_direct(const ConvParams& p, const Call& call) {
  const Tensor &x = call.input(0), &w = call.input(1);
  const float* packed = nullptr;
  if (call.state) {
    packed = static_cast<const Tensor*>(call.state)->data<float>();
  } else {
    pack_filters(map_view(w), w.dim(0), p.group, static_cast<float*>(call.scratch));
    packed = static_cast<float*>(call.scratch);
  }
  Epilogue epilogue;
  if (call.has_input(2)) epilogue.bias = call.in<float>(2);
  if (Op::tail.add) epilogue.addend = call.in<float>(kConvAddend);
  epilogue.relu = Op::tail.relu;
  const Window window = resolve(Op::signature.type, p, x.dim(2), x.dim(3));
  convolve(window, p.group, x.dim(0), map_view(x), packed, epilogue, map_view(call.output(0)));
}

template <class Op>
Kernels<Op> conv_cpu_kernels() {
  return {{"direct_f32", accepts_all<Op>, run_direct<Op>, prepare_direct<Op>}};
}

}  // namespace d2deploy
