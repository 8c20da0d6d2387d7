#pragma once
#include "operators/axis.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = the dimensions of X, or those that axes name.
struct ShapeOperator {
  struct Params {
    Ints axes;
  };
  static constexpr auto fields =
      std::array{field<&Params::axes>("axes", Bound::non_negative, "which dimensions; none: all of them")};
  static constexpr Signature signature{"Shape", "X: any any", "Y: int64 (n)", LayoutRule::follow};

  static Types infer(const Params& p, const Inputs& in) {
    for (const auto a : p.axes) (void)canonical_axis("Shape", a, in[0].rank());
    const std::size_t count = p.axes.empty() ? in[0].rank() : p.axes.size();
    return {{DType::int64, {static_cast<std::int64_t>(count)}, Layout::row_major}};
  }
};

}  // namespace d2deploy
