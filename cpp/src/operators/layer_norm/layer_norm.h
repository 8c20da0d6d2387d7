#pragma once
#include "operators/axis.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = (X - mean) / sqrt(variance + epsilon), with mean and biased variance over all dimensions from `axis` on,
/// together; with elementwise_affine times gamma plus beta, which have as many elements as each of these sums.
struct LayerNorm {
  struct Params {
    std::int64_t axis = 1;
    float epsilon = 1e-5F;
    bool elementwise_affine = false;
  };
  static constexpr auto fields =
      std::array{field<&Params::axis>("axis", Bound::any, "first dimension of the sums; negative counts from the end"),
                 field<&Params::epsilon>("epsilon", Bound::non_negative, "added to the variance"),
                 field<&Params::elementwise_affine>("elementwise_affine", Bound::any, "1: gamma and beta are inputs")};
  static constexpr Signature signature{
      "LayerNorm", "X: float32 any | gamma?: float32 any | beta?: float32 any",
      "Y: float32 any like X | mean?: float32 any | std_dev?: float32 any sqrt(variance + epsilon)",
      LayoutRule::row_major, in_place};

  static Types infer(const Params& p, const Inputs& in) {
    const Shape& x = in[0];
    const auto axis = canonical_axis("LayerNorm", p.axis, x.rank());
    const std::size_t wanted = p.elementwise_affine ? 3 : 1;
    check(in.size() == wanted, "LayerNorm: got ", in.size(), " inputs, wanted ", wanted,
          " with elementwise_affine=", p.elementwise_affine ? 1 : 0);
    Shape moments, row;
    for (std::size_t d = 0; d < x.rank(); ++d) (d < axis ? moments : row).push_back(x[d]);
    moments.push_back(1);
    const std::int64_t count = row.known() ? row.size() : kUnknown;
    for (std::size_t i = 1; i < wanted; ++i)
      check(count == kUnknown || !in[i].known() || in[i].size() == count, "LayerNorm: ", i == 1 ? "gamma" : "beta",
            " must have ", count, " elements, as the sums over X ", x, " from dimension ", axis, " on; got ", in[i]);
    return {in.types[0], f32(moments), f32(moments)};
  }
};

/// Rows of a call, each of which is normalised by itself.
struct LayerNormRows {
  std::int64_t count, length;

  static LayerNormRows of(const LayerNorm::Params& p, const Shape& x) {
    const auto axis = canonical_axis("LayerNorm", p.axis, x.rank());
    return {x.size(0, axis), x.size(axis, x.rank())};
  }
};

}  // namespace d2deploy
