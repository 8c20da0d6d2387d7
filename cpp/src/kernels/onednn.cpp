#include "kernels/onednn.h"

#include <algorithm>

#include "core/check.h"
#include "core/memory.h"

namespace d2deploy::onednn {

const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::memory::desc describe(const TensorType& type) {
  const Shape& shape = type.shape;
  const dnnl::memory::dims dims(shape.begin(), shape.end());
  if (type.layout == Layout::channels_last) return {dims, dnnl::memory::data_type::f32, dnnl::memory::format_tag::nhwc};
  dnnl::memory::dims strides(dims.size(), 1);
  for (std::size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * std::max<std::int64_t>(dims[i], 1);
  return {dims, dnnl::memory::data_type::f32, strides};
}

dnnl::memory view(const dnnl::memory::desc& desc, const void* data) { return {desc, cpu(), const_cast<void*>(data)}; }

namespace {

void reorder(const dnnl::memory::desc& from_desc, const void* from, const dnnl::memory::desc& to_desc, const void* to) {
  translated([&] {  // plain values are asked for by other kernels too
    auto source = view(from_desc, from), target = view(to_desc, to);
    dnnl::stream stream(cpu());
    dnnl::reorder(source, target).execute(stream, source, target);
    stream.wait();
  });
}

}  // namespace

std::shared_ptr<PackedWeights> pack(const dnnl::memory::desc& plain_desc, const void* plain,
                                    const dnnl::memory::desc& wanted) {
  auto packed = std::make_shared<PackedWeights>(PackedWeights{allocate(wanted.get_size()), wanted});
  reorder(plain_desc, plain, wanted, packed->data.get());
  return packed;
}

Tensor unpack(const PackedWeights& packed, const dnnl::memory::desc& plain_desc, const TensorType& type) {
  Tensor plain = Tensor::allocate(type);
  reorder(packed.desc, packed.data.get(), plain_desc, plain.raw());
  return plain;
}

void rethrow(const dnnl::error& e) {
  if (e.status == dnnl_out_of_memory) fail<DeviceError>("out of memory: oneDNN ", e.what());
  fail<InternalError>("oneDNN ", e.what());
}

std::string refusal(const dnnl::error& e) {
  if (e.status == dnnl_out_of_memory) rethrow(e);
  return e.what();
}

std::string key(const dnnl::memory::desc& desc) {
  std::string text;
  for (const auto& list :
       {desc.get_dims(), desc.get_padded_dims(), desc.get_strides(), desc.get_inner_blks(), desc.get_inner_idxs()}) {
    for (const auto value : list) text += std::to_string(value) + ' ';
    text += '|';
  }
  return text;
}

}  // namespace d2deploy::onednn
