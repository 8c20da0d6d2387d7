// Changes the element type of numbers.
#pragma once
#include <cstdint>

#include "d2deploy/tensor.h"

namespace d2deploy {

/// y = x, rounded to nearest, element by element; between float32, bfloat16 and float16. x and y must not overlap.
void convert(DType from, const void* x, DType to, void* y, std::int64_t count);

/// y = x in the type of y: float32, bfloat16, float16, or quantised with the scale that the type has. Rounds to
/// nearest, ties to even; what is too large becomes the largest number, NaN becomes 0 where y is quantised. Both have
/// as many elements; they must not overlap.
void convert(const Tensor& x, Tensor& y);

}  // namespace d2deploy
