#pragma once
#include "operators/axis.h"
#include "operators/dims.h"
#include "operators/operator.h"

namespace d2deploy {

/// The parts of X along `axis`, one output each: of the sizes that `split` or the second input tells, else equal ones.
struct Split {
  static constexpr std::int64_t kByOrder = -100;      // below any axis that a tensor can have
  static constexpr std::int64_t kMostParts = 10'000;  // as many outputs as a file may have at an operator

  struct Params {
    std::int64_t axis = kByOrder;
    Ints split;
    std::int64_t parts = 0;
    std::int64_t add_axis = 0;
    std::string order = "NCHW";
  };
  static constexpr auto fields = std::array{
      field<&Params::axis>("axis", Bound::any,
                           "dimension to split; negative counts from the end, -100 leaves it to order"),
      field<&Params::split>("split", Bound::non_negative, "sizes of the parts; none: they are equal"),
      field<&Params::parts>("parts", Bound::non_negative, "how many outputs there are; in a file it is their number"),
      field<&Params::add_axis>("add_axis", Bound::any, "1: parts of size 1 without that dimension (not available)"),
      field<&Params::order>("order", Bound::any, "NCHW splits dimension 1, NHWC the last, where axis is not given")};
  static constexpr Signature signature{"Split", "X: any any | sizes?: int32|int64 (n) in place of split", "Y*: any any",
                                       LayoutRule::follow};

  static std::size_t axis(const Params& p, std::size_t rank) {
    check<Unsupported>(p.add_axis == 0, "Split: add_axis=", p.add_axis, " is not available, wanted 0");
    check<InvalidModel>(p.order == "NCHW" || p.order == "NHWC", "Split: order is '", p.order,
                        "', must be NCHW or NHWC");
    const auto wanted = p.axis != kByOrder ? p.axis : p.order == "NCHW" ? 1 : -1;
    return canonical_axis("Split", wanted, rank);
  }

  /// Sizes of the parts of a dimension of `size`; they are kUnknown where they depend on what is not known yet.
  static Ints sizes(const Params& p, std::int64_t size, const Inputs& in) {
    check(in.size() == 1 || p.split.empty(), "Split: got sizes both as an input and as an argument");
    const Tensor* given = in.size() > 1 ? in.value(1) : nullptr;
    Ints sizes = given != nullptr ? int_values(*given) : p.split;
    if (given == nullptr && sizes.empty()) {
      const auto parts = p.parts > 0 || in.size() == 1 ? p.parts : in[1][0];
      check(parts > 0, "Split: neither sizes nor the number of parts are known");
      check(parts <= kMostParts, "Split: wanted are ", parts, " parts, at most ", kMostParts, " are made");
      // Rounded up: what is planned is the most there may be, and may be divisible once it is known.
      const bool known = size != kUnknown && in.size() == 1;
      return Ints(static_cast<std::size_t>(parts), known ? (size + parts - 1) / parts : kUnknown);
    }
    check(p.parts == 0 || p.parts == static_cast<std::int64_t>(sizes.size()), "Split: got ", sizes.size(),
          " sizes for ", p.parts, " outputs");
    check(std::ssize(sizes) <= kMostParts, "Split: wanted are ", sizes.size(), " parts, at most ", kMostParts,
          " are made");
    std::int64_t sum = 0;
    for (const auto s : sizes) {
      if (s < 0 || s > INT32_MAX) fail<InvalidArgument>("Split: the sizes ", to_text(Arg(sizes)), " hold ", s);
      sum += s;
    }
    if (!may_equal(size, sum))
      fail<InvalidArgument>("Split: the sizes ", to_text(Arg(sizes)), " add up to ", sum, ", X has ", size);
    return sizes;
  }

  /// Outputs may have been planned without knowing X: whether their sizes add up to its size.
  static void check_parts(const Params& p, const Call& call, std::size_t axis) {
    const std::int64_t size = call.input(0).dim(axis);
    std::int64_t sum = 0;
    for (const Tensor* y : call.outputs) sum += y->dim(axis);
    check(sum == size || !p.split.empty() || call.has_input(1), "Split: ", size,
          " cannot be split into equal parts, wanted ", call.outputs.size());
    check(sum == size, "Split: the sizes of the parts add up to ", sum, ", X has ", size);
  }

  static Types infer(const Params& p, const Inputs& in) {
    const auto d = axis(p, in[0].rank());
    Types parts;
    for (const auto size : sizes(p, in[0][d], in)) {
      parts.push_back(in.types[0]);
      parts.back().shape[d] = size;
    }
    return parts;
  }
};

}  // namespace d2deploy
