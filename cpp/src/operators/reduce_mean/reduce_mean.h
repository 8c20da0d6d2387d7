#pragma once
#include <array>

#include "operators/axis.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = the mean of X over some dimensions; NaN where those hold no element.
struct ReduceMean {
  struct Params {
    Ints axes;
    bool keepdims = true;
  };
  static constexpr auto fields = std::array{
      field<&Params::axes>("axes", Bound::any, "dimensions to average over; negative count from the end; none: all"),
      field<&Params::keepdims>("keepdims", Bound::any, "1: they stay in Y with size 1; 0: they are left out")};
  static constexpr Signature signature{"ReduceMean", "X: float32 any", "Y: float32 any", LayoutRule::any};

  using Mask = std::array<bool, Shape::kMaxRank>;
  /// Which dimensions of a tensor of this rank are averaged over.
  static Mask reduced(const Params& p, std::size_t rank) {
    Mask mask{};
    if (p.axes.empty()) mask.fill(true);
    for (const auto a : p.axes) {
      bool& is_reduced = mask[canonical_axis("ReduceMean", a, rank)];
      if (is_reduced) fail<InvalidModel>("ReduceMean: axes ", to_text(Arg(p.axes)), " name a dimension twice");
      is_reduced = true;
    }
    return mask;
  }

  static Types infer(const Params& p, const Inputs& in) {
    const Mask mask = reduced(p, in[0].rank());
    Shape y;
    for (std::size_t d = 0; d < in[0].rank(); ++d)
      if (!mask[d])
        y.push_back(in[0][d]);
      else if (p.keepdims)
        y.push_back(1);
    return {f32(y)};
  }
};

}  // namespace d2deploy
