// C's structs as the library's, and back.
#pragma once
#include "d2deploy/c.h"
#include "d2deploy/detector.h"

namespace d2deploy::capi {

// All throw InvalidArgument where a struct is null where it may not be, of a size that cannot be, or holds a value that
// cannot be.

ModelOptions model_options(const d2d_options* options);
DetectorOptions detector_options(const d2d_options* options);

/// Memory of the caller.
ImageView view_of(const d2d_image* image);
/// Memory of the caller, or a copy where that is not aligned to its elements.
Tensor tensor_of(const d2d_tensor* tensor);

/// Values are of the memory of `from`, and so is what the struct points to. `name` may be null.
void give(const char* name, const Tensor& from, d2d_tensor* tensor);
void give(const Model& from, int streams, d2d_facts* facts);
void give(const Detector& from, d2d_input* input);

}  // namespace d2deploy::capi
