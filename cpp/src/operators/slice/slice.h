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

  /// The bounds of a call: the inputs' where there are some, else the arguments'. Both are referred to.
  struct Bounds {
    const Params& p;
    const Tensor *starts = nullptr, *ends = nullptr;

    std::size_t cuts() const { return starts != nullptr ? static_cast<std::size_t>(starts->size()) : p.starts.size(); }
    std::size_t other_cuts() const { return ends != nullptr ? static_cast<std::size_t>(ends->size()) : p.ends.size(); }
    std::int64_t start(std::size_t d) const { return starts != nullptr ? int_value(*starts, d) : p.starts[d]; }
    std::int64_t end(std::size_t d) const { return ends != nullptr ? int_value(*ends, d) : p.ends[d]; }

    /// What is taken of dimension d of size `size`.
    Range range(std::size_t d, std::int64_t size) const {
      if (d >= cuts() || size == 0) return {0, size};
      const auto bound = [size](std::int64_t v) { return std::min(v < 0 ? size + (v + 1) : v, size); };
      const Range r{bound(start(d)), bound(end(d))};
      check(r.start >= 0 && r.start <= r.end, "Slice: dimension ", d, " of size ", size, " cannot be cut from ",
            start(d), " to ", end(d));
      return r;
    }
  };

  static Types infer(const Params& p, const Inputs& in) {
    check(in.size() != 2, "Slice: got starts as an input without ends");
    TensorType y = in.types[0];
    if (in.size() == 3 && (in.value(1) == nullptr || in.value(2) == nullptr)) {
      const auto cut = in[1][0] == kUnknown ? y.shape.rank() : static_cast<std::size_t>(in[1][0]);
      for (std::size_t d = 0; d < std::min(cut, y.shape.rank()); ++d) y.shape[d] = kUnknown;
      return {y};
    }
    y.shape = sliced({p, in.size() == 3 ? in.value(1) : nullptr, in.size() == 3 ? in.value(2) : nullptr}, in[0]);
    return {y};
  }

 private:
  static Shape sliced(const Bounds& bounds, const Shape& x) {
    check(bounds.cuts() == bounds.other_cuts(), "Slice: got ", bounds.cuts(), " starts and ", bounds.other_cuts(),
          " ends");
    check(bounds.cuts() <= x.rank(), "Slice: got ", bounds.cuts(), " starts, X is ", x);
    Shape y = x;
    int cuts = 0;
    for (std::size_t d = 0; d < bounds.cuts(); ++d) {
      if (x[d] == kUnknown) continue;
      const Range r = bounds.range(d, x[d]);
      y[d] = r.end - r.start;
      if (y[d] != x[d]) ++cuts;
    }
    // Caffe2 answers before it looks where there is nothing to copy.
    check<Unsupported>(cuts <= 1 || known_size(x) == 0, "Slice: cuts ", cuts, " dimensions of ", x, ", wanted one");
    return y;
  }
};

}  // namespace d2deploy
