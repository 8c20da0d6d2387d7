#pragma once
#include "operators/dims.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = X as a matrix: the dimensions before `axis` are its rows, the others its columns.
struct Flatten {
  struct Params {
    std::int64_t axis = 1;
  };
  static constexpr auto fields =
      std::array{field<&Params::axis>("axis", Bound::non_negative, "first dimension of X that goes into the columns")};
  static constexpr Signature signature{"Flatten", "X: any any", "Y: any (rows, columns)", LayoutRule::row_major, view};

  static Types infer(const Params& p, const Inputs& in) {
    const Shape& x = in[0];
    const auto axis = static_cast<std::size_t>(p.axis);
    check(axis <= x.rank(), "Flatten: axis is ", axis, ", must be at most ", x.rank(), " for ", x);
    return {{in.types[0].dtype, {known_size(x, 0, axis), known_size(x, axis, x.rank())}, Layout::row_major}};
  }
};

}  // namespace d2deploy
