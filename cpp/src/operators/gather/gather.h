#pragma once
#include "operators/axis.h"
#include "operators/dims.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = the slices of X along `axis` that the indices name: their dimensions stand in Y in place of that one. Along
/// dimension 0 a negative index counts from the end. Where X has nothing along `axis`, Y is X, as in Caffe2.
struct Gather {
  struct Params {
    std::int64_t axis = 0;
    std::int64_t match_outer = 0;
    std::int64_t wrap_indices = kByAxis;
  };
  static constexpr std::int64_t kByAxis = -1;
  static constexpr auto fields = std::array{
      field<&Params::axis>("axis", Bound::any, "dimension to pick from; negative counts from the end"),
      field<&Params::match_outer>("match_outer", Bound::any, "1: indices per outer dimension (not available)"),
      field<&Params::wrap_indices>(
          "wrap_indices", Bound::any,
          "1: negative indices count from the end; 0: they are errors; -1: as 1 if axis is 0")};
  static constexpr Signature signature{"Gather", "X: any any | indices: int32|int64 any", "Y: any any"};

  static bool wraps(const Params& p) { return p.wrap_indices == kByAxis ? p.axis == 0 : p.wrap_indices != 0; }

  /// indices[i] is `index`; the dimension that is picked from has `size`.
  static void check_index(const Params& p, std::int64_t i, std::int64_t index, std::int64_t size) {
    const std::int64_t least = wraps(p) ? -size : 0;
    check(index >= least && index < size, "Gather: indices[", i, "] is ", index, ", must be in [", least, ", ", size,
          ")");
  }

  static Types infer(const Params& p, const Inputs& in) {
    check<Unsupported>(p.match_outer == 0, "Gather: match_outer=", p.match_outer, " is not available, wanted 0");
    const Shape& x = in[0];
    const auto axis = canonical_axis("Gather", p.axis, x.rank());
    if (x[axis] == 0) return {in.types[0]};
    Shape y;
    for (std::size_t d = 0; d < axis; ++d) y.push_back(x[d]);
    // Unknown with X, so that it is asked again once X is known: there may be nothing to pick from.
    for (const auto d : in[1]) y.push_back(x[axis] == kUnknown ? kUnknown : d);
    for (std::size_t d = axis + 1; d < x.rank(); ++d) y.push_back(x[d]);
    return {{in.types[0].dtype, y, Layout::row_major}};
  }
};

}  // namespace d2deploy
