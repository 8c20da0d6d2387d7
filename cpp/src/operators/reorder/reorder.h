#pragma once
#include "core/element_type.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = X in another physical layout, or as another real type, or both. Internal: never in a file. Only rank 4 has two
/// layouts.
struct Reorder {
  struct Params {
    std::string to, dtype;
    float scale = 0;
  };
  static constexpr auto fields = std::array{
      field<&Params::to>("to", Bound::any, "layout of Y: channels_last or row_major; empty: that of X"),
      field<&Params::dtype>("dtype", Bound::any, "element type of Y, a real or quantised one; empty: that of X"),
      field<&Params::scale>("scale", Bound::any, "of quantised numbers: what a 1 in Y stands for")};
  static constexpr Signature signature{"Reorder", "X: any any", "Y: any any like X", LayoutRule::own, internal};

  static TensorType type(const Params& p, const TensorType& x) {
    TensorType y = x;
    const bool last = p.to == name(Layout::channels_last);
    check<InvalidModel>(last || p.to.empty() || p.to == name(Layout::row_major), "Reorder: to is '", p.to,
                        "', must be channels_last or row_major");
    if (!p.to.empty()) y.layout = last ? Layout::channels_last : Layout::row_major;
    check(y.layout == Layout::row_major || x.shape.rank() == 4, "Reorder: only rank 4 has two layouts, got ", x.shape);
    if (p.dtype.empty()) return y;
    y.scale = p.scale;
    const bool right = parse(p.dtype, y.dtype) && (is_quantised(y) ? size_of(y.dtype) == 1 : is_real(y.dtype));
    check<InvalidModel>(right, "Reorder: dtype is '", p.dtype, "' with scale ", p.scale,
                        ", must be float32, bfloat16 or float16, or int8 or uint8 with a scale");
    check(is_real(x.dtype) || is_quantised(x), "Reorder: X is ", x.dtype, ", must be real to become ", y.dtype);
    return y;
  }
  static Types infer(const Params& p, const Inputs& in) { return {type(p, in.types[0])}; }
};

}  // namespace d2deploy
