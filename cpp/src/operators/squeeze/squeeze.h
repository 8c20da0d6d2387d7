#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y = X without the dimensions `dims`, which have size 1.
struct Squeeze {
  struct Params {
    Ints dims;
  };
  static constexpr auto fields =
      std::array{field<&Params::dims>("dims", Bound::non_negative, "dimensions of X to leave out")};
  static constexpr Signature signature{"Squeeze", "X: any any", "Y: any any", LayoutRule::row_major, view};

  static Types infer(const Params& p, const Inputs& in) {
    const Shape& x = in[0];
    check<InvalidModel>(!p.dims.empty(), "Squeeze: dims are not given");
    for (const auto d : p.dims) {
      check(static_cast<std::size_t>(d) < x.rank(), "Squeeze: X ", x, " has no dimension ", d);
      const auto size = x[static_cast<std::size_t>(d)];
      check(size == 1 || size == kUnknown, "Squeeze: dimension ", d, " of X ", x, " must be 1");
    }
    Shape y;
    for (std::size_t d = 0; d < x.rank(); ++d)
      if (std::find(p.dims.begin(), p.dims.end(), static_cast<std::int64_t>(d)) == p.dims.end()) y.push_back(x[d]);
    return {{in.types[0].dtype, y, Layout::row_major}};
  }
};

}  // namespace d2deploy
