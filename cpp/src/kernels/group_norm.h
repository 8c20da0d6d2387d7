// Normalisation of each image's channel groups to mean 0 and variance 1 (Wu and He, Group Normalization, 2018).
#pragma once
#include <cstddef>

#include "kernels/scale_shift.h"

namespace d2deploy {

/// T is float or BFloat16.
template <class T>
struct GroupNormTask {
  Maps maps;
  std::int64_t groups;  ///< of neighbouring channels; divides their number
  float epsilon;        ///< added to the variance
  bool relu;
  const T* x;
  const float *gamma, *beta;  ///< (C)
  T* y;
  float *mean, *inv_std;  ///< mean and 1 / sqrt(variance + epsilon): (N, G), null where not wanted; y may be x
};

std::size_t group_norm_scratch_bytes(const Maps& maps, std::int64_t groups);

/// y = gamma (x - mean) inv_std + beta, computed as scale x + shift. The result does not depend on the thread count,
/// and an image's does not depend on the others.
template <class T>
void group_norm(const GroupNormTask<T>& task, void* scratch);

}  // namespace d2deploy
