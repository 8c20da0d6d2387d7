// Matrix products on a GPU, in float32: Y = A B, where operands know how to read their elements, so that convolutions
// are products, too, without a copy of their windows.
//
// An operand is a plain struct with
//   Line      what there is to know of a row of A (a column of B), found once:  Line line(std::int64_t i) const
//   Depth     the same for an element of the sum:                               Depth depth(std::int64_t k) const
//   read      its number:                                                       float read(Line, Depth) const
//   bool deep whether neighbours along the sum lie together, else those of neighbouring lines do
#pragma once
#include <cmath>

#include "kernels/simt/element.h"

namespace d2deploy::simt {

constexpr int kTileSide = 64, kTileDepth = 16, kTileThreads = 256;
constexpr int kThreadSide = 4;             // a thread sums 4 x 4 elements of a tile of Y
constexpr int kTilePitch = kTileSide + 4;  // of shared memory: fewer threads meet in one bank

/// Matrices with a step from line to line, and one along the sum.
template <class T>
struct SteppedOperand {
  const T* data;
  std::int64_t line_step, depth_step;
  bool deep;

  using Line = std::int64_t;
  using Depth = std::int64_t;
  SIMT_DEVICE Line line(std::int64_t i) const { return i * line_step; }
  SIMT_DEVICE Depth depth(std::int64_t k) const { return k * depth_step; }
  SIMT_DEVICE float read(Line line, Depth depth) const { return to_float(data[line + depth]); }
};

/// Y is (m, n), the sums are of k products.
struct ProductShape {
  std::int64_t m, n, k;
};

/// The part of a tile that a thread copies to shared memory: four elements, of one depth and four lines, or of one line
/// and four depths.
template <class Operand>
class TileCopy {
 public:
  SIMT_DEVICE TileCopy(const Operand& operand, std::int64_t first, std::int64_t lines)
      : operand_(operand), deep_(operand.deep) {
    const int t = static_cast<int>(threadIdx.x);
    line_ = deep_ ? t / kTileDepth : t % kTileSide;
    depth_ = deep_ ? t % kTileDepth : t / kTileSide;
    for (int i = 0; i < kThreadSide; ++i) {
      const std::int64_t at = first + line_ + (deep_ ? i * kLineStep : 0);
      inside_[i] = at < lines;
      found_[i] = operand.line(inside_[i] ? at : first);
    }
  }

  SIMT_DEVICE void copy(std::int64_t first_depth, std::int64_t depths, float* tile) const {
    if (deep_) {
      const std::int64_t k = first_depth + depth_;
      const auto depth = operand_.depth(k < depths ? k : 0);
      for (int i = 0; i < kThreadSide; ++i)
        tile[depth_ * kTilePitch + line_ + i * kLineStep] =
            k < depths && inside_[i] ? operand_.read(found_[i], depth) : 0.0F;
    } else {
      for (int i = 0; i < kThreadSide; ++i) {
        const int d = depth_ + i * kDepthStep;
        const std::int64_t k = first_depth + d;
        tile[d * kTilePitch + line_] = k < depths && inside_[0] ? operand_.read(found_[0], operand_.depth(k)) : 0.0F;
      }
    }
  }

 private:
  static constexpr int kLineStep = kTileThreads / kTileDepth, kDepthStep = kTileThreads / kTileSide;
  const Operand& operand_;
  bool deep_;
  int line_, depth_;
  bool inside_[kThreadSide];
  typename Operand::Line found_[kThreadSide];
};

/// Sums up the tile of Y that begins at (row, column), and calls writer.write(writer.line(i), j, sum) for its elements.
/// For all threads of a block of kTileThreads; each sum is made in the order of k.
template <class A, class B, class Writer>
SIMT_DEVICE void multiply_tile(const ProductShape& shape, const A& a, const B& b, std::int64_t row, std::int64_t column,
                               const Writer& writer) {
  SIMT_SHARED(float4, tile_a, kTileDepth * kTilePitch / 4);
  SIMT_SHARED(float4, tile_b, kTileDepth * kTilePitch / 4);
  const TileCopy<A> copy_a(a, row, shape.m);
  const TileCopy<B> copy_b(b, column, shape.n);
  constexpr int kAcross = kTileSide / kThreadSide;
  const int down = static_cast<int>(threadIdx.x) / kAcross, across = static_cast<int>(threadIdx.x) % kAcross;
  float sums[kThreadSide][kThreadSide] = {};
  for (std::int64_t k = 0; k < shape.k; k += kTileDepth) {
    copy_a.copy(k, shape.k, reinterpret_cast<float*>(tile_a));
    copy_b.copy(k, shape.k, reinterpret_cast<float*>(tile_b));
    __syncthreads();
    for (int d = 0; d < kTileDepth; ++d) {
      const float4 x = tile_a[d * (kTilePitch / 4) + down], y = tile_b[d * (kTilePitch / 4) + across];
      const float left[] = {x.x, x.y, x.z, x.w}, right[] = {y.x, y.y, y.z, y.w};
      for (int i = 0; i < kThreadSide; ++i)
        for (int j = 0; j < kThreadSide; ++j) sums[i][j] = std::fma(left[i], right[j], sums[i][j]);
    }
    __syncthreads();
  }
  for (int i = 0; i < kThreadSide; ++i) {
    const std::int64_t y = row + down * kThreadSide + i;
    if (y >= shape.m) break;
    const auto line = writer.line(y);
    for (int j = 0; j < kThreadSide; ++j) {
      const std::int64_t x = column + across * kThreadSide + j;
      if (x < shape.n) writer.write(line, x, sums[i][j]);
    }
  }
}

}  // namespace d2deploy::simt
