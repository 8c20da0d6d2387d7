#pragma once
#include "operators/dims.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = A B for each pair of matrices in the last two dimensions. The dimensions before them are equal, or are broadcast
/// as in NumPy. A vector A is one row, a vector B one column, whatever trans_a and trans_b are; Y then lacks that
/// dimension, and is (1) where both are vectors.
struct BatchMatMul {
  struct Params {
    bool trans_a = false, trans_b = false;
    bool broadcast = false;
    std::int64_t use_scratch = 0;
  };
  static constexpr auto fields = std::array{
      field<&Params::trans_a>("trans_a", Bound::any, "1: the matrices of A are transposed"),
      field<&Params::trans_b>("trans_b", Bound::any, "1: the matrices of B are transposed"),
      field<&Params::broadcast>("broadcast", Bound::any, "1: the dimensions before the matrices are broadcast"),
      field<&Params::use_scratch>("use_scratch", Bound::any, "has no effect")};
  static constexpr Signature signature{"BatchMatMul", "A: float32 (a, ...) | B: float32 (b, ...)", "Y: float32 any"};

  struct Sizes {
    std::int64_t m, n, k;
    Shape batch, y;
  };

  static Sizes sizes(const Params& p, const Shape& a, const Shape& b) {
    const Matrix left = matrix(a, p.trans_a, true), right = matrix(b, p.trans_b, false);
    check(may_equal(left.columns, right.rows), "BatchMatMul: the matrices of A ", a, " have ", left.columns,
          " columns, those of B ", b, " have ", right.rows, " rows");
    const std::int64_t k = left.columns == kUnknown ? right.rows : left.columns;
    Sizes s{left.rows, right.columns, k, batch(p, a, b), {}};
    s.y = s.batch;
    if (a.rank() > 1) s.y.push_back(s.m);
    if (b.rank() > 1) s.y.push_back(s.n);
    if (a.rank() == 1 && b.rank() == 1) s.y.push_back(1);
    return s;
  }

  static Types infer(const Params& p, const Inputs& in) { return {f32(sizes(p, in[0], in[1]).y)}; }

  static double flops(const Params& p, const Inputs& in, const Types& out) {
    const auto k = sizes(p, in[0], in[1]).k;
    return k < 0 || !out[0].shape.known() ? 0 : 2.0 * static_cast<double>(out[0].shape.size()) * static_cast<double>(k);
  }

 private:
  struct Matrix {
    std::int64_t rows, columns;
  };
  static Matrix matrix(const Shape& x, bool transposed, bool left) {
    const std::size_t r = x.rank();
    if (r == 1) return left ? Matrix{1, x[0]} : Matrix{x[0], 1};
    return transposed ? Matrix{x[r - 1], x[r - 2]} : Matrix{x[r - 2], x[r - 1]};
  }

  static Shape batch(const Params& p, const Shape& a, const Shape& b) {
    const std::size_t na = a.rank() < 2 ? 0 : a.rank() - 2, nb = b.rank() < 2 ? 0 : b.rank() - 2, n = std::max(na, nb);
    const bool vector = a.rank() == 1 || b.rank() == 1;
    Shape y;
    for (std::size_t d = 0; d < n; ++d) {
      const std::int64_t da = d + na < n ? 1 : a[d + na - n], db = d + nb < n ? 1 : b[d + nb - n];
      const bool may_stretch = p.broadcast || vector;
      check(may_stretch ? da == 1 || db == 1 || may_equal(da, db) : na == nb && may_equal(da, db), "BatchMatMul: A ", a,
            " and B ", b, " differ before their matrices", p.broadcast ? "" : "; broadcast=1 would allow sizes of 1");
      y.push_back(da == 1 || (da == kUnknown && db != 1) ? db : da);
    }
    return y;
  }
};

}  // namespace d2deploy
