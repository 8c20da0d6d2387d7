#pragma once
#include "operators/dims.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = X from starts to ends (exclusive) along its first dimensions, the others whole. A negative bound v stands for
/// size + 1 + v, so -1 is the end; one above the size is the size. Only one dimension may be cut, as in Caffe2.
struct Slice {
  struct Params {
    Ints starts, ends;
  };
  static constexpr auto fields =
      std::array{field<&Params::starts>("starts", Bound::unlimited, "first index per dimension; -1 is the end"),
                 field<&Params::ends>("ends", Bound::unlimited, "index after the last per dimension; -1 is the end")};
  static constexpr Signature signature{
      "Slice", "X: any any | starts?: int32|int64 (n) in place of the argument | ends?: int32|int64 (n) likewise",
      "Y: any any", LayoutRule::follow};

  struct Range {
    std::int64_t start, end;
  };
  /// What is taken of dimension d of size `size`.
  static Range range(const Params& p, std::size_t d, std::int64_t size) {
    if (d >= p.starts.size() || size == 0) return {0, size};
    const auto bound = [size](std::int64_t v) { return std::min(v < 0 ? size + 1 + v : v, size); };
    const Range r{bound(p.starts[d]), bound(p.ends[d])};
    check(r.start >= 0 && r.start <= r.end, "Slice: dimension ", d, " of size ", size, " cannot be cut from ",
          p.starts[d], " to ", p.ends[d]);
    return r;
  }

  /// The bounds of a call: the inputs' where there are some, else the arguments'.
  static Params bounds(const Params& p, const Tensor* starts, const Tensor* ends) {
    return starts != nullptr && ends != nullptr ? Params{int_values(*starts), int_values(*ends)} : p;
  }

  static Types infer(const Params& p, const Inputs& in) {
    check(in.size() != 2, "Slice: got starts as an input without ends");
    TensorType y = in.types[0];
    if (in.size() == 3 && (in.value(1) == nullptr || in.value(2) == nullptr)) {
      const auto cut = in[1][0] == kUnknown ? y.shape.rank() : static_cast<std::size_t>(in[1][0]);
      for (std::size_t d = 0; d < std::min(cut, y.shape.rank()); ++d) y.shape[d] = kUnknown;
      return {y};
    }
    y.shape = sliced(bounds(p, in.value(1), in.value(2)), in[0]);
    return {y};
  }

 private:
  static Shape sliced(const Params& p, const Shape& x) {
    check(p.starts.size() == p.ends.size(), "Slice: got ", p.starts.size(), " starts and ", p.ends.size(), " ends");
    check(p.starts.size() <= x.rank(), "Slice: got ", p.starts.size(), " starts, X is ", x);
    Shape y = x;
    int cuts = 0;
    for (std::size_t d = 0; d < p.starts.size(); ++d) {
      if (x[d] == kUnknown) continue;
      const Range r = range(p, d, x[d]);
      y[d] = r.end - r.start;
      if (y[d] != x[d]) ++cuts;
    }
    // Caffe2 answers before it looks where there is nothing to copy.
    check<Unsupported>(cuts <= 1 || known_size(x) == 0, "Slice: cuts ", cuts, " dimensions of ", x, ", wanted one");
    return y;
  }
};

}  // namespace d2deploy
