#pragma once
#include "operators/axis.h"
#include "operators/dims.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = X W + b on matrices: FC whose weights are stored the other way around. Inputs of more dimensions are read as
/// matrices, split at an axis.
struct FCTransposed {
  struct Params {
    std::int64_t axis = 1;
    std::int64_t axis_w = 1;
  };
  static constexpr auto fields = std::array{
      field<&Params::axis>("axis", Bound::any, "first dimension of X that goes into the columns of its matrix"),
      field<&Params::axis_w>("axis_w", Bound::any, "the same for W")};
  static constexpr Signature signature{"FCTransposed", "X: float32 (M, ...) | W: float32 (K, ...) | b: float32 (N)",
                                       "Y: float32 (M, ..., N)"};

  struct Sizes {
    std::int64_t rows, columns, depth;
  };
  static Sizes sizes(const Params& p, const Shape& x, const Shape& w, const Shape& b) {
    const auto axis = canonical_axis("FCTransposed", p.axis, x.rank()),
               axis_w = canonical_axis("FCTransposed", p.axis_w, w.rank());
    const std::int64_t depth = known_size(x, axis, x.rank()), wanted = known_size(w, 0, axis_w),
                       columns = known_size(w, axis_w, w.rank());
    check(may_equal(depth, wanted), "FCTransposed: X ", x, " has rows of ", depth, " values, W ", w, " wants ", wanted);
    check(may_equal(columns, b[0]), "FCTransposed: b must be (", columns, ",) for W ", w, ", got ", b);
    return {known_size(x, 0, axis), columns == kUnknown ? b[0] : columns, depth == kUnknown ? wanted : depth};
  }

  static Types infer(const Params& p, const Inputs& in) {
    const Sizes s = sizes(p, in[0], in[1], in[2]);
    Shape y;
    for (std::size_t d = 0; d < canonical_axis("FCTransposed", p.axis, in[0].rank()); ++d) y.push_back(in[0][d]);
    y.push_back(s.columns);
    return {f32(y)};
  }
  static double flops(const Params& p, const Inputs& in, const Types&) {
    const Sizes s = sizes(p, in[0], in[1], in[2]);
    return s.depth < 0
               ? 0
               : 2.0 * static_cast<double>(s.rows) * static_cast<double>(s.columns) * static_cast<double>(s.depth);
  }
};

}  // namespace d2deploy
