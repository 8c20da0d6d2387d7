// What ReduceMean, ReduceSum and ReduceMax share: arguments, and the shape of the output.
#pragma once
#include <array>

#include "operators/axis.h"
#include "operators/operator.h"

namespace d2deploy {

struct ReductionParams {
  Ints axes;
  bool keepdims = true;
};
inline constexpr auto kReductionFields = std::array{
    field<&ReductionParams::axes>("axes", Bound::any, "dimensions to reduce; negative count from the end; none: all"),
    field<&ReductionParams::keepdims>("keepdims", Bound::any, "1: they stay in Y with size 1; 0: they are left out")};

using ReducedMask = std::array<bool, Shape::kMaxRank>;
/// Which dimensions of a tensor of this rank are reduced.
inline ReducedMask reduced_mask(const char* type, const ReductionParams& p, std::size_t rank) {
  ReducedMask mask{};
  if (p.axes.empty()) mask.fill(true);
  for (const auto a : p.axes) {
    bool& is_reduced = mask[canonical_axis(type, a, rank)];
    if (is_reduced) fail<InvalidModel>(type, ": axes ", to_text(Arg(p.axes)), " name a dimension twice");
    is_reduced = true;
  }
  return mask;
}

inline Types infer_reduction(const char* type, const ReductionParams& p, const Inputs& in) {
  const ReducedMask mask = reduced_mask(type, p, in[0].rank());
  Shape y;
  for (std::size_t d = 0; d < in[0].rank(); ++d)
    if (!mask[d])
      y.push_back(in[0][d]);
    else if (p.keepdims)
      y.push_back(1);
  return {f32(y)};
}

}  // namespace d2deploy
