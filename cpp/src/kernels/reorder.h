// Changes the physical layout of images.
#pragma once
#include "d2deploy/tensor.h"

namespace d2deploy {

/// Writes the elements of x, of type `from`, to y in layout `to`. Only rank 4 has two layouts: other
/// ranks, and images that are in `to` already, are copied. x and y must not overlap.
void reorder(const TensorType& from, const void* x, Layout to, void* y);

/// A copy of the tensor in layout `to`, in memory of its own; other ranks than 4 stay row-major.
Tensor reordered(const Tensor& tensor, Layout to);

/// Brings it into layout `to` in its memory, with room for one image per thread beside it.
void reorder_in_place(Tensor& tensor, Layout to);

}  // namespace d2deploy
