#include "kernels/onednn.h"
#include "operators/max_pool/max_pool.h"

namespace d2deploy {

namespace {

using dnnl::memory;
using Descriptor = dnnl::pooling_forward::primitive_desc;

constexpr std::initializer_list<std::int64_t> kRowSizes = {16, 1};

struct Sized {
  dnnl::pooling_forward pooling;
  memory::desc x, y, scratch;
};
using State = onednn::ByRows<Sized>;

// Throws dnnl::error where oneDNN cannot do it.
Descriptor describe(const MaxPool::Params& p, const CallSite& site, std::int64_t rows) {
  const Window at = MaxPool::window(p, site.inputs[0].shape);
  return {onednn::cpu(),
          dnnl::prop_kind::forward_inference,
          dnnl::algorithm::pooling_max,
          onednn::describe(site.inputs[0], rows),
          onednn::describe(site.outputs[0], rows),
          {at.stride_h, at.stride_w},
          {at.kernel_h, at.kernel_w},
          {0, 0},
          {at.pad_t, at.pad_l},
          {at.pad_b, at.pad_r},
          onednn::attributes()};
}

std::string reject(const MaxPool::Params& p, const CallSite& site) {
  if (!site.outputs[0].shape.known() || site.outputs[0].shape.size() == 0)
    return "the output is empty or of unknown size";
  const Window at = MaxPool::window(p, site.inputs[0].shape);
  if (at.pad_t < 0 || at.pad_l < 0 || at.pad_b < 0 || at.pad_r < 0) return "cells are cut off";
  if (at.pad_t >= at.kernel_h || at.pad_l >= at.kernel_w || at.pad_b >= at.kernel_h || at.pad_r >= at.kernel_w)
    return "a window may lie in the padding alone";
  try {
    return onednn::refuse_slow(describe(p, site, site.inputs[0].shape[0]).impl_info_str());
  } catch (const dnnl::error& e) {
    return onednn::refusal(e);
  }
}

Prepared prepare(const MaxPool::Params& p, const CallSite& site) {
  auto state = std::make_shared<State>();
  Prepared prepared;
  for (const auto rows : State::sizes(site.inputs[0].shape[0], !site.bounded, kRowSizes)) {
    const Descriptor desc = describe(p, site, rows);
    if (prepared.detail.empty()) prepared.detail = desc.impl_info_str();
    state->add(rows, {dnnl::pooling_forward(desc), desc.src_desc(), desc.dst_desc(), desc.scratchpad_desc()});
    prepared.scratch_bytes = std::max(prepared.scratch_bytes, desc.scratchpad_desc().get_size());
  }
  prepared.state = state;
  return prepared;
}

void run(const MaxPool::Params&, const Call& call) {
  const Tensor &x = call.input(0), &y = call.output(0);
  static_cast<const State*>(call.state)->for_each(x.dim(0), [&](const Sized& sized, std::int64_t first) {
    onednn::execute(sized.pooling, {{DNNL_ARG_SRC, sized.x, onednn::row(x, first)},
                                    {DNNL_ARG_DST, sized.y, onednn::row(y, first)},
                                    {DNNL_ARG_SCRATCHPAD, sized.scratch, call.scratch}});
  });
}

}  // namespace

template <>
Kernels<MaxPool> kernels<MaxPool, Backend::onednn>() {
  const auto for_type = [](const char* name, DType real) {
    KernelOf<MaxPool::Params> kernel{name, reject, run, [](const MaxPool::Params& p, const CallSite& site) {
                                       return onednn::translated([&] { return prepare(p, site); });
                                     }};
    kernel.real = real;
    return kernel;
  };
  return {for_type("onednn_f32", DType::float32), for_type("onednn_bf16", DType::bfloat16),
          for_type("onednn_int8", DType::int8)};
}

}  // namespace d2deploy
