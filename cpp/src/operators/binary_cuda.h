// The kernels of operators with two inputs that are spread over each other, on a GPU.
#pragma once
#include "kernels/simt/index.h"
#include "operators/binary.h"
#include "operators/elementwise_cuda.h"

namespace d2deploy {

/// An operand of one element, or one that lies in memory as the output does.
template <class T>
struct PlainOperand {
  const T* x;
  bool single;

  SIMT_DEVICE T operator[](std::int64_t i) const { return x[single ? 0 : i]; }
  SIMT_DEVICE simt::Vector<T> vector(std::int64_t i) const {
    if (!single) return reinterpret_cast<const simt::Vector<T>*>(x)[i];
    simt::Vector<T> v;
    for (T& value : v.values) value = x[0];
    return v;
  }
};

template <class T, class F>
SIMT_KERNEL combine_plain(PlainOperand<T> a, PlainOperand<T> b, T* c, std::int64_t count, F f) {
  using V = simt::Vector<T>;
  const bool fits = in_vectors(a.single ? c : a.x, b.single ? c : b.x) && in_vectors(c, c);
  const std::int64_t vectors = fits ? count / V::kSize : 0;
  for (std::int64_t i = simt::first_item(); i < vectors; i += simt::item_step()) {
    V x = a.vector(i);
    const V y = b.vector(i);
    for (int k = 0; k < V::kSize; ++k) x.values[k] = f(x.values[k], y.values[k]);
    reinterpret_cast<V*>(c)[i] = x;
  }
  for (std::int64_t i = vectors * V::kSize + simt::first_item(); i < count; i += simt::item_step())
    c[i] = f(a[i], b[i]);
}

template <class T, class F>
SIMT_KERNEL combine_spread(const T* a, const T* b, T* c, simt::DeviceLoops loops, std::int64_t count, F f) {
  for (std::int64_t i = simt::first_item(); i < count; i += simt::item_step()) {
    std::int64_t in_a, in_b;
    loops.find(i, in_a, in_b);
    c[i] = f(a[in_a], b[in_b]);
  }
}

/// The loops of a call, in the order in which the output lies in memory.
inline Loops binary_loops(const char* type, const BinaryParams& params, const Call& call) {
  const BinaryShape shape = BinaryShape::of(type, params, call.input(0).shape(), call.input(1).shape());
  TensorType b = call.input(1).type();
  if (shape.b_is_scalar) b = {b.dtype, {}, Layout::row_major};
  return broadcast(call.output(0).type(), call.input(0).type(), shape.a_offset, b, shape.b_offset);
}

/// C = f(A, B), where they hold elements of type T. C may be A or B where that has its type.
template <class T, class F>
void launch_binary(const char* type, const BinaryParams& params, const Call& call, F f) {
  const std::int64_t count = call.output(0).size();
  if (count == 0) return;
  const Loops loops = binary_loops(type, params, call);
  const T *a = device_in<T>(call, 0), *b = device_in<T>(call, 1);
  T* c = device_out<T>(call, 0);
  const auto grid = [&](std::int64_t items) {
    return simt::Grid{simt::blocks_for(items, kElementThreads), kElementThreads, 0, stream_of(call)};
  };
  if (loops.count == 1 && loops.a[0] <= 1 && loops.b[0] <= 1)
    return simt::launch(type, combine_plain<T, F>, grid(count / simt::Vector<T>::kSize),
                        PlainOperand<T>{a, loops.a[0] == 0}, PlainOperand<T>{b, loops.b[0] == 0}, c, count, f);
  simt::launch(type, combine_spread<T, F>, grid(count), a, b, c, simt::DeviceLoops(loops), count, f);
}

/// C = F()(A, B) for the call's element type; real numbers are computed with in float32.
template <class F>
void run_binary_on_device(const char* type, const BinaryParams& params, const Call& call) {
  switch (call.output(0).dtype()) {
    case DType::int32: return launch_binary<std::int32_t>(type, params, call, F());
    case DType::int64: return launch_binary<std::int64_t>(type, params, call, F());
    default:
      with_real_type(call.output(0).dtype(),
                     [&]<class T>(T) { launch_binary<T>(type, params, call, InFloat<F>{F()}); });
  }
}

template <class Op, class F>
Kernels<Op> binary_cuda_kernels() {
  return {{.name = "spread",
           .reject = accepts_all<Op>,
           .run = [](const BinaryParams& p, const Call& call) { run_binary_on_device<F>(Op::signature.type, p, call); },
           .takes = Takes::any_real}};
}

}  // namespace d2deploy
