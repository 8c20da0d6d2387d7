#pragma once
#include "operators/axis.h"
#include "operators/most_rows.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = the inputs, one after the other along `axis`; split_info = their sizes there. All other
/// dimensions must be equal, of inputs without elements too. Rank-4 inputs must share one layout.
struct Concat {
  static constexpr std::int64_t kByOrder = -100;  // below any axis that a tensor can have

  struct Params {
    std::int64_t axis = kByOrder;
    std::int64_t add_axis = 0;
    std::string order = "NCHW";
  };
  static constexpr auto fields = std::array{
      field<&Params::axis>("axis", Bound::any,
                           "dimension to join; negative counts from the end, -100 leaves it to order"),
      field<&Params::add_axis>("add_axis", Bound::any, "1: stack along a new dimension (not available)"),
      field<&Params::order>("order", Bound::any, "NCHW joins dimension 1, NHWC dimension 3, where axis is not given")};
  static constexpr Signature signature{"Concat", "inputs*: any any", "Y: any any | split_info?: int32 (n)",
                                       LayoutRule::same};

  /// The joined dimension of tensors of this rank, from 0.
  static std::size_t axis(const Params& p, std::size_t rank) {
    check<Unsupported>(p.add_axis == 0, "Concat: add_axis=", p.add_axis, " is not available, wanted 0");
    check<InvalidModel>(p.order == "NCHW" || p.order == "NHWC", "Concat: order is '", p.order,
                        "', must be NCHW or NHWC");
    const auto wanted = p.axis != kByOrder ? p.axis : p.order == "NCHW" ? 1 : 3;
    return canonical_axis("Concat", wanted, rank);
  }

  static Types infer(const Params& p, const Inputs& in) {
    TensorType y = in.types[0];
    const auto joined = axis(p, y.shape.rank());
    for (std::size_t i = 1; i < in.size(); ++i) {
      const TensorType& x = in.types[i];
      check(x.dtype == y.dtype, "Concat: input ", i, " is ", x.dtype, ", the first is ", y.dtype);
      check(x.shape.rank() == y.shape.rank(), "Concat: input ", i, " is ", x.shape, ", the first is ", in[0]);
      check<InternalError>(x.layout == y.layout, "Concat: input ", i, " is ", x.layout, ", the first is ", y.layout);
      for (std::size_t d = 0; d < y.shape.rank(); ++d)
        y.shape[d] = d == joined ? plus(y.shape[d], x.shape[d]) : equal(i, x.shape, in[0], y.shape[d], d);
    }
    return {y, i32({static_cast<std::int64_t>(in.size())})};
  }

 private:
  static std::int64_t equal(std::size_t i, const Shape& x, const Shape& first, std::int64_t have, std::size_t d) {
    if (have == kUnknown || x[d] == kUnknown) return have == kUnknown ? x[d] : have;
    check(x[d] == have, "Concat: input ", i, " is ", x, ", which differs from ", first, " in dimension ", d);
    return have;
  }
};

}  // namespace d2deploy
