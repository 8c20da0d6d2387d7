#pragma once
#include "operators/dims.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = X under another shape; old_shape = that of X. A 0 takes over the dimension of X at its place, one -1 is what
/// remains. Where X holds no element a 0 stays 0 and -1 is 0, as in Caffe2.
struct Reshape {
  struct Params {
    Ints shape;
  };
  static constexpr auto fields =
      std::array{field<&Params::shape>("shape", Bound::any, "dimensions of Y; 0: as in X; -1: what remains")};
  static constexpr Signature signature{"Reshape", "X: any any | shape?: int32|int64 (n) in place of the argument",
                                       "Y: any any | old_shape?: int32|int64 (m)", LayoutRule::row_major, view};

  static Types infer(const Params& p, const Inputs& in) {
    const TensorType& x = in.types[0];
    const DType old_type = in.size() > 1 ? in.types[1].dtype : DType::int64;
    const TensorType old_shape{old_type, {static_cast<std::int64_t>(x.shape.rank())}, Layout::row_major};
    if (in.size() > 1 && in.value(1) == nullptr) return {{x.dtype, unknown(in[1][0]), Layout::row_major}, old_shape};
    check(in.size() == 1 || p.shape.empty(), "Reshape: got shape both as an input and as an argument");
    const Shape y = reshaped(x.shape, in.size() > 1 ? int_values(*in.value(1)) : p.shape);
    return {{x.dtype, y, Layout::row_major}, old_shape};
  }

 private:
  static Shape unknown(std::int64_t rank) {
    check<Unsupported>(rank != kUnknown, "Reshape: how many dimensions shape holds must be known before the run");
    Shape y;
    for (std::int64_t d = 0; d < rank; ++d) y.push_back(kUnknown);
    return y;
  }

  static Shape reshaped(const Shape& x, const Ints& wanted) {
    const std::string text = to_text(Arg(wanted));
    const bool empty = std::find(x.begin(), x.end(), 0) != x.end();
    Shape y, rest_of_x = x, rest_of_y;  // without the dimensions that are taken over: they need not be known
    std::size_t remaining = Shape::kMaxRank;
    for (std::size_t d = 0; d < wanted.size(); ++d) {
      check(wanted[d] >= -1, "Reshape: shape ", text, " holds ", wanted[d], ", wanted sizes, 0 or -1");
      check(wanted[d] != -1 || remaining == Shape::kMaxRank, "Reshape: shape ", text, " holds -1 twice");
      if (wanted[d] == -1) remaining = d;
      const bool taken = wanted[d] == 0 && !empty;
      check(!taken || d < x.rank(), "Reshape: shape ", text, " takes over dimension ", d, " of X ", x);
      y.push_back(taken ? x[d] : wanted[d]);
      if (taken)
        rest_of_x[d] = 1;
      else if (wanted[d] != -1)
        rest_of_y.push_back(wanted[d]);
    }
    const std::int64_t have = known_size(rest_of_x), want = rest_of_y.size();
    if (remaining < Shape::kMaxRank) {
      if (have == kUnknown) return y;  // -1 is kUnknown
      check(empty || have % want == 0, "Reshape: X ", x, " does not fit into shape ", text);
      y[remaining] = empty ? 0 : have / want;
    } else {
      check(may_equal(have, want), "Reshape: X ", x, " does not fit into shape ", text);
    }
    return y;
  }
};
static_assert(kUnknown == -1, "Reshape leaves a -1 as it is where it is not known");

}  // namespace d2deploy
