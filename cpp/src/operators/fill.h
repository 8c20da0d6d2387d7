// What the operators that make tensors share: Caffe2's numbers of element types, and numbers as elements.
#pragma once
#include <utility>

#include "core/element_type.h"
#include "operators/operator.h"

namespace d2deploy {

/// Caffe2's numbers of element types that a fill can make; 13, float64, is rounded to float32.
inline DType fill_dtype(const char* type, std::int64_t number) {
  switch (number) {
    case 1:
    case 13: return DType::float32;
    case 2: return DType::int32;
    case 3:
    case 6: return DType::uint8;
    case 5: return DType::boolean;
    case 10: return DType::int64;
    default:
      fail<Unsupported>(type, ": dtype is ", number,
                        ", wanted 1 FLOAT, 2 INT32, 3 BYTE, 5 BOOL, 6 UINT8, 10 INT64 or 13 DOUBLE");
  }
}

/// The number as an element of type T. Throws InvalidModel where it is none.
template <class T>
T to_element(const char* type, std::int64_t value) {
  if constexpr (std::is_same_v<T, bool>)
    check<InvalidModel>(value == 0 || value == 1, type, ": value ", value, " is no bool, wanted 0 or 1");
  else if constexpr (kReal<T>)
    return static_cast<T>(static_cast<float>(value));
  else
    check<InvalidModel>(std::in_range<T>(value), type, ": value ", value, " does not fit into ", kDType<T>);
  if constexpr (!kReal<T>) return static_cast<T>(value);
}

/// A shape from a file or from data. Throws InvalidArgument where a dimension is negative.
inline Shape fill_shape(const char* type, const Ints& dims) {
  for (const auto d : dims) check(d >= 0, type, ": shape ", to_text(Arg(dims)), " holds ", d, ", wanted 0 or more");
  const Shape shape(dims);
  (void)shape.size();  // overflow
  return shape;
}

}  // namespace d2deploy
