#include "kernels/onednn.h"

#include <algorithm>
#include <array>

#include "core/check.h"
#include "core/memory.h"
#include "kernels/instruction_sets.h"

namespace d2deploy::onednn {

const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::memory::data_type data_type(DType dtype) {
  switch (dtype) {
    case DType::float32: return dnnl::memory::data_type::f32;
    case DType::bfloat16: return dnnl::memory::data_type::bf16;
    case DType::float16: return dnnl::memory::data_type::f16;
    case DType::int8: return dnnl::memory::data_type::s8;
    case DType::uint8: return dnnl::memory::data_type::u8;
    case DType::int32: return dnnl::memory::data_type::s32;
    case DType::int64:
    case DType::boolean: break;
  }
  fail<InternalError>("oneDNN has no element type ", dtype);
}

dnnl::memory::data_type weights_type(DType inputs) {
  return inputs == DType::uint8 ? dnnl::memory::data_type::s8 : data_type(inputs);
}

dnnl::memory::desc describe(const TensorType& type) {
  const Shape& shape = type.shape;
  const dnnl::memory::dims dims(shape.begin(), shape.end());
  const auto element = data_type(type.dtype);
  if (type.layout == Layout::channels_last) return {dims, element, dnnl::memory::format_tag::nhwc};
  dnnl::memory::dims strides(dims.size(), 1);
  for (std::size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * std::max<std::int64_t>(dims[i], 1);
  return {dims, element, strides};
}

dnnl::memory::desc describe(TensorType type, std::int64_t rows) {
  type.shape[0] = rows;
  return describe(type);
}

void* row(const Tensor& tensor, std::int64_t first) {
  const Shape& shape = tensor.shape();
  const auto elements = static_cast<std::size_t>(first * shape.size(1, shape.rank()));
  return static_cast<std::byte*>(const_cast<void*>(tensor.raw())) + elements * size_of(tensor.dtype());
}

dnnl::primitive_attr attributes(bool add, bool relu) {
  dnnl::post_ops post;
  if (add) post.append_sum();
  if (relu) post.append_eltwise(dnnl::algorithm::eltwise_relu, 0.0F, 0.0F);
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(post);
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

namespace {

void check_status(dnnl_status_t status) {
  if (status != dnnl_success) rethrow({status, "could not run a primitive"});
}

// Views of memory, and the stream that uses them.
class Execution {
 public:
  static constexpr std::size_t kMostArguments = 10;

  Execution() { check_status(dnnl_stream_create(&stream_, cpu().get(), dnnl_stream_default_flags)); }
  ~Execution() {
    for (std::size_t i = 0; i < count_; ++i) (void)dnnl_memory_destroy(arguments_[i].memory);
    (void)dnnl_stream_destroy(stream_);
  }
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  void add(const Argument& a) {
    check<InternalError>(count_ < kMostArguments, "a primitive has more arguments than ", kMostArguments);
    dnnl_memory_t memory = nullptr;
    check_status(dnnl_memory_create(&memory, a.desc.get(), cpu().get(), const_cast<void*>(a.data)));
    arguments_[count_++] = {a.index, memory};
  }
  void run(const dnnl::primitive& primitive) {
    check_status(dnnl_primitive_execute(primitive.get(), stream_, static_cast<int>(count_), arguments_.data()));
    check_status(dnnl_stream_wait(stream_));
  }

 private:
  dnnl_stream_t stream_ = nullptr;
  std::array<dnnl_exec_arg_t, kMostArguments> arguments_{};
  std::size_t count_ = 0;
};

// `scales` are those of the memory that is quantised, which `side` says; empty: none is.
void reorder(const dnnl::memory::desc& from, const void* x, const dnnl::memory::desc& to, void* y,
             const std::vector<float>& scales = {}, int channels = 0, int side = DNNL_ARG_TO) {
  translated([&] {  // other kernels ask for plain values too
    dnnl::primitive_attr attributes;
    if (!scales.empty()) attributes.set_scales_mask(side, channels);
    const dnnl::reorder::primitive_desc desc(cpu(), from, cpu(), to, attributes);
    const dnnl::memory::desc list{{static_cast<dnnl::memory::dim>(std::max<std::size_t>(scales.size(), 1))},
                                  dnnl::memory::data_type::f32,
                                  dnnl::memory::format_tag::x};
    execute(dnnl::reorder(desc), {{DNNL_ARG_FROM, from, x},
                                  {DNNL_ARG_TO, to, y},
                                  {DNNL_ARG_ATTR_SCALES | side, list, scales.empty() ? nullptr : scales.data()}});
  });
}

}  // namespace

void execute(const dnnl::primitive& primitive, std::initializer_list<Argument> arguments) {
  Execution execution;
  for (const Argument& a : arguments)
    if (a.data != nullptr) execution.add(a);
  execution.run(primitive);
}

std::shared_ptr<PackedWeights> pack(const dnnl::memory::desc& plain_desc, const void* plain,
                                    const dnnl::memory::desc& wanted) {
  auto packed = std::make_shared<PackedWeights>(PackedWeights{allocate(wanted.get_size()), wanted});
  reorder(plain_desc, plain, wanted, packed->data.get());
  return packed;
}

std::shared_ptr<PackedWeights> pack(const dnnl::memory::desc& plain_desc, const void* plain,
                                    const dnnl::memory::desc& wanted, std::vector<float> scales, int channels) {
  auto packed =
      std::make_shared<PackedWeights>(PackedWeights{allocate(wanted.get_size()), wanted, std::move(scales), channels});
  // In two steps: none rounds into every layout that there is.
  const auto dims = plain_desc.get_dims();
  dnnl::memory::dims strides(dims.size(), 1);
  for (std::size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * std::max<std::int64_t>(dims[i], 1);
  const dnnl::memory::desc rounded(dims, dnnl::memory::data_type::s8, strides);
  const auto between = allocate(rounded.get_size());
  reorder(plain_desc, plain, rounded, between.get(), packed->scales, channels);
  reorder(rounded, between.get(), wanted, packed->data.get());
  return packed;
}

Tensor unpack(const PackedWeights& packed, const dnnl::memory::desc& plain_desc, const TensorType& type) {
  Tensor plain = Tensor::allocate(type);
  reorder(packed.desc, packed.data.get(), plain_desc, plain.raw(), packed.scales, packed.channels, DNNL_ARG_FROM);
  return plain;
}

void rethrow(const dnnl::error& e) {
  if (e.status == dnnl_out_of_memory) fail<OutOfMemory>("out of memory: oneDNN ", e.what());
  fail<InternalError>("oneDNN ", e.what());
}

std::string refuse_product_of(DType type) {
  return type == DType::bfloat16 && !has_avx512() ? "oneDNN has products in bfloat16 for AVX-512 alone" : "";
}

std::string refusal(const dnnl::error& e) {
  if (e.status == dnnl_out_of_memory) rethrow(e);
  return e.what();
}

std::string key(const dnnl::memory::desc& desc) {
  std::string text = std::to_string(static_cast<int>(desc.get_data_type())) + '|';
  for (const auto& list :
       {desc.get_dims(), desc.get_padded_dims(), desc.get_strides(), desc.get_inner_blks(), desc.get_inner_idxs()}) {
    for (const auto value : list) text += std::to_string(value) + ' ';
    text += '|';
  }
  return text;
}

}  // namespace d2deploy::onednn
