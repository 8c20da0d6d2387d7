// What Caffe2's fills mean, wherever they stand: in a file of weights (io) or as operators of a net.
// `type`, of the operator, begins the messages.
#pragma once
#include <optional>
#include <string_view>
#include <utility>

#include "core/args.h"
#include "core/check.h"
#include "core/element_type.h"

namespace d2deploy {

/// What the fill makes that holds its values, by its type; nothing where the type is another one. GivenTensorFill has
/// an argument `dtype`, too.
std::optional<DType> given_tensor_dtype(std::string_view type);

/// Caffe2's numbers of element types that a fill can make; 13, float64, is rounded to float32. Throws Unsupported.
DType fill_dtype(std::string_view type, std::int64_t number);

/// What a ConstantFill makes of its value, float or integer: without `dtype`, which is 0 then, what the value is.
DType constant_fill_dtype(const Arg& value, std::int64_t dtype);

/// Throws E where there are too many dimensions or one is negative, InvalidModel where their product is too large.
template <class E>
Shape fill_shape(std::string_view type, const Ints& dims) {
  check<E>(dims.size() <= Shape::kMaxRank, type, ": the shape has ", dims.size(), " dimensions, at most ",
           Shape::kMaxRank, " are supported");
  for (const auto d : dims)
    if (d < 0) fail<E>(type, ": shape ", to_text(Arg(dims)), " holds ", d, ", wanted 0 or more");
  const Shape shape(dims);
  (void)shape.size();  // overflow
  return shape;
}

/// The number as an element of type T. Throws InvalidModel where it is not one.
template <class T>
T to_element(std::string_view type, std::int64_t value) {
  if constexpr (kReal<T>) {
    return static_cast<T>(static_cast<float>(value));
  } else {
    if constexpr (std::is_same_v<T, bool>)
      check<InvalidModel>(value == 0 || value == 1, type, ": value ", value, " is not a bool, wanted 0 or 1");
    else
      check<InvalidModel>(std::in_range<T>(value), type, ": value ", value, " does not fit into ", kDType<T>);
    return static_cast<T>(value);
  }
}

/// The value of a ConstantFill as an element; a float without fraction may stand for an integer.
template <class T>
T constant_fill_element(const Arg& value) {
  constexpr std::string_view kType = "ConstantFill";
  const auto* real = std::get_if<float>(&value);
  if (real == nullptr) return to_element<T>(kType, std::get<std::int64_t>(value));
  if constexpr (kReal<T>) {
    return static_cast<T>(*real);
  } else {
    const bool whole =
        *real >= -0x1p+53F && *real <= 0x1p+53F && static_cast<float>(static_cast<std::int64_t>(*real)) == *real;
    check<InvalidModel>(whole, kType, ": value is ", *real, ", must be an integer for ", kDType<T>);
    return to_element<T>(kType, static_cast<std::int64_t>(*real));
  }
}

}  // namespace d2deploy
