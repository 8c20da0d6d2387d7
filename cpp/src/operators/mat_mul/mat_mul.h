#pragma once
#include "operators/axis.h"
#include "operators/dims.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = A B on matrices; inputs of more dimensions are read as matrices, split at an axis, and then transposed if asked.
struct MatMul {
  struct Params {
    std::int64_t axis_a = 1, axis_b = 1;
    bool trans_a = false, trans_b = false;
  };
  static constexpr auto fields = std::array{
      field<&Params::axis_a>("axis_a", Bound::any, "first dimension of A that goes into the columns of its matrix"),
      field<&Params::axis_b>("axis_b", Bound::any, "the same for B"),
      field<&Params::trans_a>("trans_a", Bound::any, "1: the matrix of A is transposed"),
      field<&Params::trans_b>("trans_b", Bound::any, "1: the matrix of B is transposed")};
  static constexpr Signature signature{"MatMul", "A: float32 (a, ...) | B: float32 (b, ...)", "Y: float32 (M, N)"};

  struct Sizes {
    std::int64_t m, n, k;
  };
  static Sizes sizes(const Params& p, const Shape& a, const Shape& b) {
    const auto split_a = canonical_axis("MatMul", p.axis_a, a.rank()),
               split_b = canonical_axis("MatMul", p.axis_b, b.rank());
    std::int64_t m = known_size(a, 0, split_a), depth_a = known_size(a, split_a, a.rank());
    std::int64_t depth_b = known_size(b, 0, split_b), n = known_size(b, split_b, b.rank());
    if (p.trans_a) std::swap(m, depth_a);
    if (p.trans_b) std::swap(n, depth_b);
    check(may_equal(depth_a, depth_b), "MatMul: A ", a, " gives rows of ", depth_a, " values, B ", b, " columns of ",
          depth_b);
    return {m, n, depth_a == kUnknown ? depth_b : depth_a};
  }

  static Types infer(const Params& p, const Inputs& in) {
    const Sizes s = sizes(p, in[0], in[1]);
    return {f32({s.m, s.n})};
  }
  static double flops(const Params& p, const Inputs& in, const Types&) {
    const Sizes s = sizes(p, in[0], in[1]);
    return s.k < 0 ? 0 : 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
  }
};

}  // namespace d2deploy
