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
  const Shape& w = site.inputs[1].shape;
  const auto bytes = static_cast<std::size_t>(site.inputs[1].bytes());
  if (!site.is_constant(1)) return {.scratch_bytes = bytes};
  const auto pack = [&](const Tensor& plain) -> Constant::Packed {
    auto packed = std::make_shared<Tensor>(Tensor::allocate(plain.type()));
    pack_filters(plain.data<float>(), p.group, w[0], w[1], w[2], w[3], packed->data<float>());
    // Small nets keep both forms: nothing is gained by unpacking.
    return {packed, [plain] { return plain; }};
  };
  return {.state = site.constants[1]->packed(join("direct, group ", p.group), pack)};
}

template <class Op>
void run_direct(const ConvParams& p, const Call& call) {
  const Tensor &x = call.input(0), &w = call.input(1);
  const auto* packed = call.state ? static_cast<const Tensor*>(call.state)->data<float>() : static_cast<float*>(call.scratch);
  if (!call.state)
    pack_filters(w.data<float>(), p.group, w.dim(0), w.dim(1), w.dim(2), w.dim(3), static_cast<float*>(call.scratch));
  Epilogue epilogue;
  if (call.has_input(2)) epilogue.bias = call.in<float>(2);
  if (Op::tail.add) epilogue.addend = call.in<float>(3);
  epilogue.relu = Op::tail.relu;
  const Window window = resolve(Op::signature.type, p, x.dim(2), x.dim(3));
  convolve(window, p.group, x.dim(0), map_view(x), packed, epilogue, map_view(call.output(0)));
}

template <class Op>
std::vector<KernelOf<Op>> direct_kernels() {
  return {{"direct_f32", accepts_all<Op>, run_direct<Op>, prepare_direct<Op>}};
}

}  // namespace d2deploy
