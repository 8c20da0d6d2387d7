// Real numbers as whole ones of 8 bits: a real number is a scale times the whole one, 0 stays 0.
#pragma once
#include <vector>

#include "d2deploy/tensor.h"

namespace d2deploy {

/// y = x in the type of y: float32, bfloat16, float16, or quantised with the scale that the type has. Rounds to
/// nearest, ties to even; what is too large becomes the largest number, NaN becomes 0 where y is quantised. Both have
/// as many elements; they must not overlap.
void convert(const Tensor& x, Tensor& y);

/// Per index of dimension `axis` of weights: the largest magnitude / 127, or 1 where all are 0.
std::vector<float> weight_scales(const Tensor& weights, std::size_t axis);
/// The weights, each rounded to a multiple of the scale of its index of `axis`, in float32: what kernels for quantised
/// numbers pack without loss, and others compute the same with.
Tensor rounded_weights(const Tensor& weights, std::size_t axis);

}  // namespace d2deploy
