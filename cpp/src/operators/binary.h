// What Add, Sub, Mul and Div share: arguments, shapes, and the kernel around their loops.
#pragma once
#include <tuple>

#include "core/element_type.h"
#include "kernels/broadcast.h"
#include "kernels/simt/host_device.h"
#include "operators/operator.h"

namespace d2deploy {

struct BinaryParams {
  bool broadcast = false;
  std::int64_t axis = -1;
  std::string axis_str;
  std::string order = "NCHW";
};
inline constexpr auto kBinaryFields = std::array{
    field<&BinaryParams::broadcast>(
        "broadcast", Bound::any, "0: as NumPy, aligned at the last dimension; 1: B stands for a run of A's dimensions"),
    field<&BinaryParams::axis>("axis", Bound::any, "with broadcast: where B's run starts in A; -1: it is A's last"),
    field<&BinaryParams::axis_str>("axis_str", Bound::any, "with broadcast: the same as a letter of order"),
    field<&BinaryParams::order>("order", Bound::any, "letters of A's dimensions, for axis_str")};
inline constexpr const char* kBinaryInputs = "A: real|int32|int64 any | B: real|int32|int64 any";
inline constexpr const char* kBinaryOutputs = "C: real|int32|int64 any of A and B spread over each other";

/// Where the operands' first dimensions stand in the output, and its shape. `type` is the operator's.
struct BinaryShape {
  Shape out;
  std::size_t a_offset = 0, b_offset = 0;
  bool b_is_scalar = false;  ///< all of B is one element, whatever its rank

  static BinaryShape of(const char* type, const BinaryParams& params, const Shape& a, const Shape& b);
};

Types infer_binary(const char* type, const BinaryParams& params, const Inputs& in);

/// F on reduced real types: computed in float, and rounded.
template <class F>
struct Rounded {
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (kReal<T> && !std::is_same_v<T, float>)
      return static_cast<T>(F()(static_cast<float>(a), static_cast<float>(b)));
    else
      return F()(a, b);
  }
};

/// C = F()(a, b) for the call's element type.
template <class F>
void run_binary(const char* type, const BinaryParams& params, const Call& call) {
  const BinaryShape shape = BinaryShape::of(type, params, call.input(0).shape(), call.input(1).shape());
  TensorType b = call.input(1).type();
  if (shape.b_is_scalar) b = {b.dtype, {}, Layout::row_major};
  const auto loops = broadcast(call.output(0).type(), call.input(0).type(), shape.a_offset, b, shape.b_offset);
  const auto run = [&]<class T>(T) {
    for_each_pair(loops, call.in<T>(0), call.in<T>(1), call.out<T>(0), Rounded<F>());
  };
  switch (call.output(0).dtype()) {
    case DType::float32: return run(float());
    case DType::bfloat16: return run(BFloat16());
    case DType::float16: return run(Float16());
    case DType::int32: return run(std::int32_t());
    case DType::int64: return run(std::int64_t());
    default: fail<InternalError>(type, ": no loop for ", call.output(0).dtype());
  }
}

template <class Op, class F>
Kernels<Op> binary_kernels() {
  return {{.name = "loop",
           .reject = accepts_all<Op>,
           .run = [](const BinaryParams& p, const Call& call) { run_binary<F>(Op::signature.type, p, call); },
           .takes = Takes::any_real}};
}

/// Integers wrap around, as they do in Caffe2; done on unsigned values, where that is defined.
template <class T, class F>
SIMT_HOST_DEVICE T wrapping(T a, T b, F f) {
  if constexpr (std::is_floating_point_v<T>) {
    return f(a, b);
  } else {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(f(static_cast<U>(a), static_cast<U>(b)));
  }
}

struct Plus {
  template <class T>
  SIMT_HOST_DEVICE T operator()(T a, T b) const {
    return wrapping(a, b, [](auto x, auto y) { return x + y; });
  }
};
struct Minus {
  template <class T>
  SIMT_HOST_DEVICE T operator()(T a, T b) const {
    return wrapping(a, b, [](auto x, auto y) { return x - y; });
  }
};
struct Times {
  template <class T>
  SIMT_HOST_DEVICE T operator()(T a, T b) const {
    return wrapping(a, b, [](auto x, auto y) { return x * y; });
  }
};

}  // namespace d2deploy
