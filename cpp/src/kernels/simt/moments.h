// Mean and variance of parts of a tensor on a GPU, in float32, in an order that depends on its shape alone.
#pragma once
#include <cmath>

#include "kernels/simt/element.h"

namespace d2deploy::simt {

/// Of `count` numbers: their mean, and the sum of squares of what they differ from it. Unlike sums of squares, these
/// keep their digits where the mean is far from 0.
struct Moments {
  float count = 0, mean = 0, squares = 0;
};

/// Of both together (Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm, 1979).
SIMT_DEVICE inline Moments joined(const Moments& a, const Moments& b) {
  const float count = a.count + b.count;
  if (count == 0.0F) return a;
  const float apart = b.mean - a.mean, part = b.count / count;
  return {count, a.mean + apart * part, a.squares + b.squares + apart * apart * a.count * part};
}

template <class T, int kCount>
SIMT_DEVICE Moments moments_of(const T* x) {
  float sum = 0, squares = 0;
  for (int i = 0; i < kCount; ++i) sum += to_float(x[i]);
  const float mean = sum / kCount;
  for (int i = 0; i < kCount; ++i) {
    const float apart = to_float(x[i]) - mean;
    squares += apart * apart;
  }
  return {kCount, mean, squares};
}

constexpr int kMomentThreads = 256;

/// Joins those of the threads of a block that are `width` apart, `height` of them: threads below `width` get the
/// result.
SIMT_DEVICE inline Moments joined_in_block(const Moments& mine, int width, int height) {
  SIMT_SHARED(float, counts, kMomentThreads);
  SIMT_SHARED(float, means, kMomentThreads);
  SIMT_SHARED(float, squares, kMomentThreads);
  const int t = static_cast<int>(threadIdx.x), row = t / width;
  const auto at = [&](int i) { return Moments{counts[i], means[i], squares[i]}; };
  const auto set = [&](const Moments& m) {
    counts[t] = m.count;
    means[t] = m.mean;
    squares[t] = m.squares;
  };
  set(mine);
  __syncthreads();
  for (int left = height; left > 1; left = (left + 1) / 2) {
    const int half = (left + 1) / 2;
    if (row + half < left) set(joined(at(t), at(t + half * width)));
    __syncthreads();
  }
  const Moments result = at(t);
  __syncthreads();  // the next call writes again
  return result;
}

}  // namespace d2deploy::simt
