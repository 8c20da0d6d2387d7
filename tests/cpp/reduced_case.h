// A case in a smaller real type: what stands at `real` ports is rounded to it.
#pragma once
#include "case.h"
#include "kernels/convert.h"

namespace d2deploy::testing {

inline Tensor as(DType dtype, const Tensor& t) {
  TensorType type = t.type();
  type.dtype = dtype;
  Tensor out = Tensor::allocate(type);
  convert(t.dtype(), t.raw(), dtype, out.raw(), t.size());
  return out;
}

/// Whether these inputs are float32 at `real` ports.
inline bool can_be_reduced(const Case& c) {
  Types types;
  for (const auto& t : c.inputs) types.push_back(t.type());
  return real_type(c.op->type, c.op->inputs, types) == DType::float32;
}

/// The same call twice: with reduced inputs, and with the same numbers in float32.
struct ReducedCase {
  Case reduced, wide;

  ReducedCase(const Case& c, DType dtype) : reduced(c), wide(c) {
    const auto ports = ports_of(c.op->inputs, c.inputs.size());
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      if (c.inputs[i].dtype() != DType::float32) continue;
      if (packed_reduced(c, i, *ports[i]))
        reduced.inputs[i] = wide.inputs[i] = as(DType::float32, as(dtype, c.inputs[i]));
      if (!ports[i]->real) continue;
      reduced.inputs[i] = as(dtype, c.inputs[i]);
      wide.inputs[i] = as(DType::float32, reduced.inputs[i]);
    }
  }

 private:
  // Weights that are packed in the type of what they meet: constants at float32 ports of heavy operators, but not
  // biases.
  static bool packed_reduced(const Case& c, std::size_t i, const Port& port) {
    return c.op->is(heavy) && c.constant[i] && !port.real && c.inputs[i].shape().rank() > 1;
  }
};

}  // namespace d2deploy::testing
