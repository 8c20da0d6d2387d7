#pragma once
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
    return {{in.types[0].dtype, {product(x, 0, axis), product(x, axis, x.rank())}, Layout::row_major}};
  }

 private:
  static std::int64_t product(const Shape& x, std::size_t first, std::size_t last) {
    const bool unknown = std::find(x.begin() + first, x.begin() + last, kUnknown) != x.begin() + last;
    return unknown ? kUnknown : x.size(first, last);
  }
};

}  // namespace d2deploy
