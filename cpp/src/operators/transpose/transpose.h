#pragma once
#include <array>
#include <numeric>

#include "kernels/loops.h"
#include "operators/axis.h"
#include "operators/operator.h"

namespace d2deploy {

/// Dimension i of Y is dimension axes[i] of X; without axes their order is turned around.
struct Transpose {
  struct Params {
    Ints axes;
  };
  static constexpr auto fields = std::array{
      field<&Params::axes>("axes", Bound::any, "dimension of X per dimension of Y; none: from last to first")};
  static constexpr Signature signature{"Transpose", "X: any any", "Y: any any", LayoutRule::follow};

  using Axes = std::array<std::size_t, Shape::kMaxRank>;
  static Axes axes(const Params& p, std::size_t rank) {
    Axes out{};
    if (p.axes.empty()) {
      for (std::size_t i = 0; i < rank; ++i) out[i] = rank - 1 - i;
      return out;
    }
    std::array<bool, Shape::kMaxRank> used{};
    if (p.axes.size() != rank)
      fail<InvalidArgument>("Transpose: axes ", to_text(Arg(p.axes)), " must name all ", rank, " dimensions of X");
    for (std::size_t i = 0; i < rank; ++i) {
      out[i] = canonical_axis("Transpose", p.axes[i], rank);
      if (used[out[i]]) fail<InvalidModel>("Transpose: axes ", to_text(Arg(p.axes)), " name a dimension twice");
      used[out[i]] = true;
    }
    return out;
  }

  /// Nested loops that walk Y in the order of its memory; a: steps in X.
  static Loops loops(const Params& p, const TensorType& x, const TensorType& y) {
    const std::size_t rank = y.shape.rank();
    const auto order = axes(p, rank), memory = memory_order(y);
    const Steps from = steps(x);
    Loops loops;
    for (std::size_t i = 0; i < rank; ++i) loops.add(y.shape[memory[i]], from[order[memory[i]]], 0);
    return loops;
  }

  static Types infer(const Params& p, const Inputs& in) {
    const Axes order = axes(p, in[0].rank());
    Shape y = in[0];
    for (std::size_t i = 0; i < y.rank(); ++i) y[i] = in[0][order[i]];
    return {{in.types[0].dtype, y, Layout::row_major}};
  }
};

}  // namespace d2deploy
