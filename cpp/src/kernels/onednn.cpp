#include "kernels/onednn.h"

#include <algorithm>
#include <array>

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

namespace {

void check_status(dnnl_status_t status) {
  if (status != dnnl_success) rethrow({status, "could not run a primitive"});
}

// Views of memory, and the stream that uses them.
class Execution {
 public:
  static constexpr std::size_t kMostArguments = 6;

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

void reorder(const dnnl::memory::desc& from, const void* x, const dnnl::memory::desc& to, void* y) {
  translated([&] {  // other kernels ask for plain values too
    const dnnl::reorder::primitive_desc desc(cpu(), from, cpu(), to);
    execute(dnnl::reorder(desc), {{DNNL_ARG_FROM, from, x}, {DNNL_ARG_TO, to, y}});
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
