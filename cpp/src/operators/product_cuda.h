// Products of matrices on a GPU: what FC, FCTransposed, MatMul and BatchMatMul share.
#pragma once
#include "kernels/loops.h"
#include "kernels/simt/matmul.h"
#include "operators/device_call.h"

namespace d2deploy {

/// A side of a matrix: so many lines for each of the rows that a tensor has.
struct Extent {
  DeviceRows rows;
  std::int64_t per_row = 1;

  SIMT_DEVICE std::int64_t count() const { return rows.count() * per_row; }
  SIMT_HOST_DEVICE std::int64_t most() const { return rows.most * per_row; }
};
/// The product of the dimensions [first, last) of input i.
inline Extent extent_of_input(const Call& call, std::size_t i, std::size_t first, std::size_t last) {
  const Shape& s = call.input(i).shape();
  if (first > 0 || last == 0) return {{s.size(first, last)}, 1};
  return {rows_of_input(call, i), s.size(1, last)};
}

/// Offsets of the matrices of a batch: `loops` over it, with steps in the elements of A and B. Those of Y lie one
/// behind the other.
struct ProductBatch {
  std::int64_t count = 1;
  Loops loops;
};

/// y[i, j] = max(bias[j] + sum, 0), each part where it is asked for.
template <class Y>
struct ProductWriter {
  Y* y;
  std::int64_t columns;
  const float* bias = nullptr;
  bool relu = false;

  using Line = std::int64_t;
  SIMT_DEVICE Line line(std::int64_t i) const { return i * columns; }
  SIMT_DEVICE void write(Line line, std::int64_t j, float sum) const {
    if (bias != nullptr) sum += bias[j];
    y[line + j] = simt::from_float<Y>(relu && sum < 0.0F ? 0.0F : sum);
  }
  SIMT_DEVICE void move(std::int64_t elements) { y += elements; }
};

/// Of a product whose A is (m, k) and whose B is (k, n). Where the lengths of the sums differ, rows are missing.
struct ProductExtents {
  Extent m, n, k, k_of_b;
};

/// Tiles of rows along x, of columns along y, matrices along z.
template <class A, class B, class Writer>
SIMT_KERNEL multiply_matrices(ProductExtents extents, ProductBatch batch, A a, B b, Writer writer) {
  using namespace simt;
  const ProductShape shape{extents.m.count(), extents.n.count(), std::min(extents.k.count(), extents.k_of_b.count())};
  const std::int64_t row = std::int64_t{blockIdx.x} * kTileSide;
  if (row >= shape.m) return;
  for (std::int64_t i = blockIdx.z; i < batch.count; i += gridDim.z) {
    const auto offsets = batch.loops.at(i, batch.loops.count);
    A left = a;
    B right = b;
    Writer out = writer;
    left.data += offsets.a;
    right.data += offsets.b;
    out.move(i * extents.m.most() * extents.n.most());
    for (std::int64_t column = std::int64_t{blockIdx.y} * kTileSide; column < shape.n;
         column += std::int64_t{gridDim.y} * kTileSide)
      multiply_tile(shape, left, right, row, column, out);
  }
}

template <class A, class B, class Writer>
void launch_product(const char* name, const Call& call, const ProductExtents& extents, const ProductBatch& batch,
                    const A& a, const B& b, const Writer& writer) {
  constexpr std::int64_t kMost = 65535;  // CUDA's limit of gridDim.y and .z
  const auto tiles = [](const Extent& e) { return (e.most() + simt::kTileSide - 1) / simt::kTileSide; };
  const auto blocks = [=](std::int64_t count) { return static_cast<unsigned>(std::min(count, kMost)); };
  const std::int64_t down = tiles(extents.m), across = tiles(extents.n);
  if (down == 0 || across == 0 || batch.count == 0) return;
  simt::launch(
      name, multiply_matrices<A, B, Writer>,
      {{static_cast<unsigned>(down), blocks(across), blocks(batch.count)}, simt::kTileThreads, 0, stream_of(call)},
      extents, batch, a, b, writer);
}

/// A matrix in row-major order as an operand of which `columns` are summed up, or, transposed, rows.
template <class T>
simt::SteppedOperand<T> matrix_operand(const T* data, std::int64_t columns, bool sums_columns) {
  return sums_columns ? simt::SteppedOperand<T>{data, columns, 1, true}
                      : simt::SteppedOperand<T>{data, 1, columns, false};
}

}  // namespace d2deploy
