#include "operators/binary.h"

#include <algorithm>

namespace d2deploy {

namespace {

// NumPy's rule for one dimension. An unknown one may turn out to be 1, so the other decides if it is not.
std::int64_t spread(const char* type, const Shape& a, const Shape& b, std::int64_t x, std::int64_t y) {
  if (x == 1 || x == y) return y;
  if (y == 1) return x;
  if (x == kUnknown || y == kUnknown) return x == kUnknown ? y : x;
  fail<InvalidArgument>(type, ": A ", a, " and B ", b, " do not go together: ", x, " and ", y,
                        " are neither equal nor 1");
}

BinaryShape numpy_shape(const char* type, const Shape& a, const Shape& b) {
  const std::size_t rank = std::max(a.rank(), b.rank());
  BinaryShape shape{{}, rank - a.rank(), rank - b.rank(), false};
  for (std::size_t d = 0; d < rank; ++d) {
    const std::int64_t x = d < shape.a_offset ? 1 : a[d - shape.a_offset];
    const std::int64_t y = d < shape.b_offset ? 1 : b[d - shape.b_offset];
    shape.out.push_back(spread(type, a, b, x, y));
  }
  return shape;
}

std::int64_t first_axis(const char* type, const BinaryParams& p, const Shape& a, const Shape& b) {
  const auto last = static_cast<std::int64_t>(a.rank()) - static_cast<std::int64_t>(b.rank());
  std::int64_t axis = p.axis == -1 ? last : p.axis;
  if (!p.axis_str.empty()) {
    check<InvalidModel>(p.axis == -1, type, ": axis and axis_str are both given, wanted one");
    const auto at = p.axis_str.size() == 1 ? p.order.find(p.axis_str) : std::string::npos;
    check<InvalidModel>(at != std::string::npos, type, ": axis_str is '", p.axis_str, "', must be a letter of ",
                        p.order);
    axis = static_cast<std::int64_t>(at);
  }
  check(axis >= 0 && axis <= last, type, ": B ", b, " does not fit into A ", a, " from dimension ", axis, " on");
  return axis;
}

// Caffe2's older rule: B is a run of A's dimensions, whose leading and trailing ones may be spread.
BinaryShape legacy_shape(const char* type, const BinaryParams& p, const Shape& a, const Shape& b) {
  if (b.known() && b.size() == 1) return {a, 0, 0, true};
  const auto axis = static_cast<std::size_t>(first_axis(type, p, a, b));
  std::size_t begin = 0, end = b.rank();
  while (begin < end && b[begin] == 1) ++begin;
  while (begin < end && b[end - 1] == 1) --end;
  for (std::size_t i = begin; i < end; ++i) {
    const std::int64_t x = a[axis + i];
    check(x == b[i] || x == kUnknown || b[i] == kUnknown, type, ": B ", b, " does not match A ", a, " from dimension ",
          axis, " on");
  }
  return {a, 0, axis, false};
}

}  // namespace

BinaryShape BinaryShape::of(const char* type, const BinaryParams& params, const Shape& a, const Shape& b) {
  return params.broadcast ? legacy_shape(type, params, a, b) : numpy_shape(type, a, b);
}

Types infer_binary(const char* type, const BinaryParams& params, const Inputs& in) {
  check(in.types[0].dtype == in.types[1].dtype, type, ": A is ", in.types[0].dtype, ", B is ", in.types[1].dtype,
        ", must be the same");
  return {{in.types[0].dtype, BinaryShape::of(type, params, in[0], in[1]).out, Layout::row_major}};
}

}  // namespace d2deploy
