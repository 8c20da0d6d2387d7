#pragma once
#include <set>

#include "operators/operator.h"

namespace d2deploy {

/// Y = X with further dimensions of size 1, at the places `dims` of Y.
struct ExpandDims {
  struct Params {
    Ints dims;
  };
  static constexpr auto fields =
      std::array{field<&Params::dims>("dims", Bound::non_negative, "dimensions of Y that are new")};
  static constexpr Signature signature{"ExpandDims", "X: any any", "Y: any any", LayoutRule::row_major, view};

  static Types infer(const Params& p, const Inputs& in) {
    const Shape& x = in[0];
    check<InvalidModel>(!p.dims.empty(), "ExpandDims: dims are not given");
    const std::set<std::int64_t> dims(p.dims.begin(), p.dims.end());
    const auto rank = static_cast<std::int64_t>(x.rank() + dims.size());
    check(*dims.rbegin() < rank, "ExpandDims: dims ", to_text(Arg(p.dims)), " must be below ", rank, " for X ", x);
    Shape y;
    const std::int64_t* next = x.begin();
    for (std::int64_t d = 0; d < rank; ++d) y.push_back(dims.contains(d) ? 1 : *next++);
    return {{in.types[0].dtype, y, Layout::row_major}};
  }
};

}  // namespace d2deploy
