// From element types that are known when the program runs to C++ types.
#pragma once
#include "d2deploy/tensor.h"

namespace d2deploy {

/// Calls f with a value of the C++ type of an element type.
template <class F>
void with_element_type(DType dtype, const F& f) {
  switch (dtype) {
    case DType::float32: return f(float());
    case DType::int32: return f(std::int32_t());
    case DType::int64: return f(std::int64_t());
    case DType::uint8: return f(std::uint8_t());
    case DType::boolean: return f(bool());
  }
}

}  // namespace d2deploy
