// Products of long rows with few columns on a GPU: what takes its time is to read the rows, once.
#pragma once
#include <cmath>

#include "kernels/simt/element.h"

namespace d2deploy::simt {

constexpr int kMostNarrow = 16;  // columns
constexpr int kNarrowLanes = 8;  // threads that share a row: 128 bytes of it at a time
constexpr int kNarrowRows = 4;   // rows that such threads sum up at a time, for each read of the weights
constexpr unsigned kNarrowThreads = 256;

/// Y[i, j] = max(bias[j] + addend[i, j] + sum over k of X[i, k] W[j, k], 0), each part where it is asked for. Rows lie
/// one behind the other; those of X begin at multiples of 16 bytes.
template <class T, class Y>
struct NarrowJob {
  const T* x;
  const float* w;     // (columns, depth)
  const float* bias;  // null: none
  const T* addend;    // null: none
  Y* y;
  int columns, depth;
  bool relu;
};

/// Columns as they are summed up: a multiple of 4.
constexpr int padded_columns(int columns) { return (columns + 3) / 4 * 4; }
/// From one element of the depth to the next in shared memory, for which neighbours do not meet in one bank.
constexpr int narrow_pitch(int padded) { return padded % 8 == 0 ? padded + 4 : padded; }
inline std::size_t narrow_shared_bytes(std::int64_t columns, std::int64_t depth) {
  return static_cast<std::size_t>(depth * narrow_pitch(padded_columns(static_cast<int>(columns)))) * sizeof(float);
}

// Weights by place in a vector of X, vector, and column: the threads of a row read neighbouring vectors.
template <int kColumns, class T, class Y>
SIMT_DEVICE void copy_narrow_weights(const NarrowJob<T, Y>& job, float* weights) {
  constexpr int kSize = Vector<T>::kSize;
  const int vectors = job.depth / kSize;
  for (int k = static_cast<int>(threadIdx.x); k < job.depth; k += static_cast<int>(blockDim.x)) {
    float* to = weights + (k % kSize * vectors + k / kSize) * narrow_pitch(kColumns);
    SIMT_UNROLL
    for (int column = 0; column < kColumns; ++column)
      to[column] = column < job.columns ? job.w[column * job.depth + k] : 0.0F;
  }
}

/// `Rows` tells how many rows X has.
template <int kColumns, class T, class Y, class Rows>
SIMT_KERNEL narrow_product(NarrowJob<T, Y> job, Rows all) {
  constexpr int kSize = Vector<T>::kSize;
  float* weights = dynamic_shared<float>();
  copy_narrow_weights<kColumns>(job, weights);
  __syncthreads();
  const int vectors = job.depth / kSize, lane = static_cast<int>(threadIdx.x) % kNarrowLanes;
  const std::int64_t rows = all.count(), team = first_item() / kNarrowLanes, teams = item_step() / kNarrowLanes;
  // All threads of a warp take part in every turn, since they exchange their sums.
  for (std::int64_t first = 0; first < rows; first += teams * kNarrowRows) {
    float sums[kNarrowRows][kColumns] = {};
    const Vector<T>* x[kNarrowRows];
    SIMT_UNROLL
    for (int r = 0; r < kNarrowRows; ++r) {
      const std::int64_t row = std::min(first + r * teams + team, rows - 1);
      x[r] = reinterpret_cast<const Vector<T>*>(job.x + row * job.depth);
    }
    for (int v = lane; v < vectors; v += kNarrowLanes) {
      Vector<T> loaded[kNarrowRows];
      SIMT_UNROLL
      for (int r = 0; r < kNarrowRows; ++r) loaded[r] = x[r][v];
      SIMT_UNROLL
      for (int e = 0; e < kSize; ++e) {
        const auto* at = reinterpret_cast<const float4*>(weights + (e * vectors + v) * narrow_pitch(kColumns));
        SIMT_UNROLL
        for (int c = 0; c < kColumns; c += 4) {
          const float4 w = at[c / 4];
          SIMT_UNROLL
          for (int r = 0; r < kNarrowRows; ++r) {
            const float value = to_float(loaded[r].values[e]);
            sums[r][c] = std::fma(value, w.x, sums[r][c]);
            sums[r][c + 1] = std::fma(value, w.y, sums[r][c + 1]);
            sums[r][c + 2] = std::fma(value, w.z, sums[r][c + 2]);
            sums[r][c + 3] = std::fma(value, w.w, sums[r][c + 3]);
          }
        }
      }
    }
    SIMT_UNROLL
    for (int r = 0; r < kNarrowRows; ++r) {
      const std::int64_t row = first + r * teams + team;
      SIMT_UNROLL
      for (int c = 0; c < kColumns; ++c) {
        float sum = sums[r][c];
        SIMT_UNROLL
        for (int step = kNarrowLanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
        if (c % kNarrowLanes != lane || c >= job.columns || row >= rows) continue;
        if (job.bias != nullptr) sum += job.bias[c];
        if (job.addend != nullptr) sum += to_float(job.addend[row * job.columns + c]);
        job.y[row * job.columns + c] = from_float<Y>(job.relu && sum < 0.0F ? 0.0F : sum);
      }
    }
  }
}

/// Why the product cannot be made; null: it can. `depth` is that of X, of which T are the elements.
template <class T>
const char* reject_narrow(std::int64_t columns, std::int64_t depth) {
  if (columns < 1 || columns > kMostNarrow) return "has too many columns";
  if (depth < 1 || depth % Vector<T>::kSize != 0) return "has rows that are no multiple of 16 bytes";
  if (narrow_shared_bytes(columns, depth) > kMostSharedBytes) return "has more weights than fit into shared memory";
  return nullptr;
}

template <class T, class Y, class Rows>
void launch_narrow(const char* name, const NarrowJob<T, Y>& job, std::int64_t most_rows, const Rows& rows,
                   Stream stream) {
  constexpr unsigned kRowsPerBlock = kNarrowThreads / kNarrowLanes * kNarrowRows;
  const unsigned blocks = blocks_for(most_rows, kRowsPerBlock);
  const auto go = [&]<int kColumns>(std::integral_constant<int, kColumns>) {
    launch(name, narrow_product<kColumns, T, Y, Rows>,
           {blocks, kNarrowThreads, narrow_shared_bytes(job.columns, job.depth), stream}, job, rows);
  };
  switch (padded_columns(job.columns)) {
    case 4: return go(std::integral_constant<int, 4>{});
    case 8: return go(std::integral_constant<int, 8>{});
    case 12: return go(std::integral_constant<int, 12>{});
    default: return go(std::integral_constant<int, 16>{});
  }
}

}  // namespace d2deploy::simt
