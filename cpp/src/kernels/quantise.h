// Real numbers as whole ones of 8 bits: a real number is a scale times the whole one, 0 stays 0.
#pragma once
#include <vector>

#include "d2deploy/tensor.h"

namespace d2deploy {

/// Per index of dimension `axis` of weights: the largest magnitude / 127, or 1 where that is 0 or next to it.
std::vector<float> weight_scales(const Tensor& weights, std::size_t axis);
/// Rounds each of the weights, float32, to a multiple of the scale of its index of `axis`: kernels for quantised
/// numbers pack that without loss, and others compute the same with it.
void round_weights(Tensor& weights, std::size_t axis);
/// A copy of them, rounded.
Tensor rounded_weights(const Tensor& weights, std::size_t axis);

}  // namespace d2deploy
