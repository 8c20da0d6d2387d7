// Cases in float32 as cases in another real type, with equal numbers in both.
#pragma once
#include <optional>
#include <vector>

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

// Weights that are packed in the type of what they meet: constants at float32 ports of heavy operators, but not biases.
inline bool packed_reduced(const Case& c, std::size_t i, const Port& port) {
  return c.op->is(heavy) && c.constant[i] && !port.real && c.inputs[i].dtype() == DType::float32 &&
         c.inputs[i].shape().rank() > 1;
}

/// The case with its `real` inputs in another type, and in float32 with the same, rounded numbers.
struct ReducedCase {
  Case reduced, wide;

  ReducedCase(const Case& c, DType dtype) : reduced(c), wide(c) {
    const auto ports = ports_of(c.op->inputs, c.inputs.size());
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      if (packed_reduced(c, i, *ports[i]))
        reduced.inputs[i] = wide.inputs[i] = as(DType::float32, as(dtype, c.inputs[i]));
      if (!ports[i]->real || c.inputs[i].dtype() != DType::float32) continue;
      reduced.inputs[i] = as(dtype, c.inputs[i]);
      wide.inputs[i] = as(DType::float32, reduced.inputs[i]);
    }
  }
};

/// The type of its `real` inputs, if there are any.
inline std::optional<DType> real_type_of(const Case& c) {
  std::vector<TensorType> types;
  for (const auto& t : c.inputs) types.push_back(t.type());
  return real_type(c.op->type, c.op->inputs, types);
}

}  // namespace d2deploy::testing
