// What the oneDNN kernels share: descriptors, packed weights, and primitives for batches of several sizes.
// Part of the build with D2DEPLOY_ONEDNN only.
#pragma once
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

#include "d2deploy/tensor.h"

namespace d2deploy::onednn {

/// The CPU, for oneDNN. Descriptors keep a bare pointer to it, so there is one for good; it holds no state.
const dnnl::engine& cpu();

/// An element type as oneDNN names it.
dnnl::memory::data_type data_type(DType dtype);
/// What weights are packed as for inputs of that type. Sums and biases are float32 beside all of them.
dnnl::memory::data_type weights_type(DType inputs);

/// The tensor as it lies in memory.
dnnl::memory::desc describe(const TensorType& type);
/// The same for so many of its rows: images, regions, rows of a matrix.
dnnl::memory::desc describe(TensorType type, std::int64_t rows);
/// Where row `first` of the tensor starts.
void* row(const Tensor& tensor, std::int64_t first);

/// What all primitives are made with: scratch memory of ours, and what follows the sum. What is there already is added
/// where `add`; a ReLU comes last.
dnnl::primitive_attr attributes(bool add = false, bool relu = false);
/// One of the memories that a primitive works on. oneDNN's type cannot say which of them are only read.
struct Argument {
  int index;  ///< DNNL_ARG_SRC and its like
  const dnnl::memory::desc& desc;
  const void* data;  ///< null: left out
};
/// Runs the primitive to its end. Of our own memory nothing is allocated: what oneDNN's C++ types would keep in maps
/// and shared pointers stays on the stack.
void execute(const dnnl::primitive& primitive, std::initializer_list<Argument> arguments);

/// Weights in the layout that a primitive wants, made from plain ones by a reorder.
struct PackedWeights {
  std::shared_ptr<void> data;
  dnnl::memory::desc desc;
  std::vector<float> scales{};  ///< of quantised ones, per output channel
  int channels = 0;             ///< bits of the dimensions of plain ones that output channels stand in
};
std::shared_ptr<PackedWeights> pack(const dnnl::memory::desc& plain_desc, const void* plain,
                                    const dnnl::memory::desc& wanted);
/// The same for quantised ones: divided by scales, and rounded.
std::shared_ptr<PackedWeights> pack(const dnnl::memory::desc& plain_desc, const void* plain,
                                    const dnnl::memory::desc& wanted, std::vector<float> scales, int channels);
/// The plain weights of this type again.
Tensor unpack(const PackedWeights& packed, const dnnl::memory::desc& plain_desc, const TensorType& type);
/// Text that is equal for equal layouts and element types.
std::string key(const dnnl::memory::desc& desc);

/// An error of oneDNN as one of ours: DeviceError for lack of memory, else InternalError.
[[noreturn]] void rethrow(const dnnl::error& e);
/// Runs `f`, which makes primitives, so that only our errors come out of it.
template <class F>
decltype(auto) translated(F&& f) {
  try {
    return f();
  } catch (const dnnl::error& e) {
    rethrow(e);
  }
}
/// Why oneDNN cannot do a call, by what it threw. Lack of memory is no reason, but an error.
std::string refusal(const dnnl::error& e);

/// Why oneDNN's products of matrices do not take this type on this CPU; empty: they do.
std::string refuse_product_of(DType type);

/// Why an implementation of oneDNN is not used: the reference ones are slower than our portable kernels.
inline std::string refuse_slow(const char* implementation) {
  return std::string_view(implementation).starts_with("ref") ? "oneDNN has only its reference implementation" : "";
}

/// The layout of weights to ask for: that in which they are `packed` already, so that plans of all sizes share it, or
/// `any` where they are not (null), or where there is no good primitive for it. `describe` makes the primitive's
/// descriptor for a layout.
template <class Describe>
dnnl::memory::desc weights_layout(const std::shared_ptr<const void>& packed, const dnnl::memory::desc& any,
                                  const Describe& describe) {
  if (packed == nullptr) return any;
  const auto& layout = static_cast<const PackedWeights*>(packed.get())->desc;
  try {
    return refuse_slow(describe(layout).impl_info_str()).empty() ? layout : any;
  } catch (const dnnl::error& e) {
    (void)refusal(e);
    return any;
  }
}

/// Primitives for several batch sizes. How many rows (images, regions) a call has may be known only when it runs;
/// a primitive is made for one number. Any number is put together from few sizes.
template <class Primitive>
class ByRows {
 public:
  /// Sizes for `rows` rows. Images go one by one: with several at once, oneDNN may add up in another order, and an
  /// image would not get what it gets alone. Regions go by a few sizes down to 1.
  static std::vector<std::int64_t> sizes(std::int64_t rows, bool images, std::initializer_list<std::int64_t> steps) {
    if (images) return {1};
    std::vector<std::int64_t> out;
    for (const auto s : steps)
      if (s <= rows) out.push_back(s);
    return out;
  }

  void add(std::int64_t rows, Primitive primitive) { list_.emplace_back(rows, std::move(primitive)); }

  /// run(primitive, first row) until all rows are done; the sizes were added largest first.
  template <class Run>
  void for_each(std::int64_t rows, const Run& run) const {
    std::int64_t first = 0;
    for (const auto& [size, primitive] : list_)
      for (; rows - first >= size; first += size) run(primitive, first);
  }

 private:
  std::vector<std::pair<std::int64_t, Primitive>> list_;
};

}  // namespace d2deploy::onednn
