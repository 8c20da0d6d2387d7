// Changes the element type of real numbers.
#pragma once
#include <cstdint>

#include "d2deploy/dtype.h"

namespace d2deploy {

/// y = x, rounded to nearest, element by element; between float32, bfloat16 and float16. x and y must not overlap.
void convert(DType from, const void* x, DType to, void* y, std::int64_t count);

}  // namespace d2deploy
