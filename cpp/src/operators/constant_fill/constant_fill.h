#pragma once
#include "operators/dims.h"
#include "operators/fill.h"

namespace d2deploy {

/// Y = one value, everywhere. Its shape is an argument, or that of the input, or the values of the input; behind the
/// last two come the dimensions extra_shape. Without dtype an integer makes int64, another value float32.
struct ConstantFill {
  struct Params {
    Ints shape, extra_shape;
    Arg value = 0.0F;
    std::int64_t dtype = 0;
    bool input_as_shape = false;
  };
  static constexpr auto fields = std::array{
      field<&Params::shape>("shape", Bound::non_negative, "dimensions of Y where there is no input"),
      field<&Params::extra_shape>("extra_shape", Bound::non_negative, "dimensions behind those of the input"),
      field<&Params::value>("value", Bound::any, "the number that Y is filled with"),
      field<&Params::dtype>(
          "dtype", Bound::non_negative,
          "Caffe2's number of Y's type: 1 FLOAT, 2 INT32, 5 BOOL, 6 UINT8, 10 INT64; 0: that of the value"),
      field<&Params::input_as_shape>("input_as_shape", Bound::any, "1: the input's values are the shape, not its own")};
  static constexpr Signature signature{"ConstantFill", "like?: any any", "Y: any any", LayoutRule::follow};

  static DType dtype(const Params& p) {
    const bool whole = std::holds_alternative<std::int64_t>(p.value);
    check<InvalidModel>(whole || std::holds_alternative<float>(p.value), "ConstantFill: value is ", to_text(p.value),
                        ", must be a number");
    if (p.dtype == 0) return whole ? DType::int64 : DType::float32;
    return fill_dtype("ConstantFill", p.dtype);
  }

  /// The value as an element. A float without fraction may stand for an integer.
  template <class T>
  static T value(const Params& p) {
    const auto* real = std::get_if<float>(&p.value);
    if (real == nullptr) return to_element<T>("ConstantFill", std::get<std::int64_t>(p.value));
    if constexpr (kReal<T>) return static_cast<T>(*real);
    const bool whole =
        *real >= -0x1p+53F && *real <= 0x1p+53F && static_cast<float>(static_cast<std::int64_t>(*real)) == *real;
    check<InvalidModel>(whole, "ConstantFill: value is ", *real, ", must be an integer for ", kDType<T>);
    return to_element<T>("ConstantFill", static_cast<std::int64_t>(*real));
  }

  static Types infer(const Params& p, const Inputs& in) {
    const DType type = dtype(p);
    with_element_type(type, [&]<class T>(T) { (void)value<T>(p); });
    return {{type, shape(p, in), Layout::row_major}};
  }

 private:
  static Shape shape(const Params& p, const Inputs& in) {
    if (in.size() == 0) {
      check<InvalidModel>(p.extra_shape.empty() && !p.input_as_shape,
                          "ConstantFill: extra_shape and input_as_shape want an input");
      return fill_shape("ConstantFill", p.shape);
    }
    check<InvalidModel>(p.shape.empty(), "ConstantFill: got shape both as an input and as an argument");
    Ints dims(in[0].begin(), in[0].end());
    if (p.input_as_shape) {
      check(in.types[0].dtype == DType::int64 && dims.size() == 1,
            "ConstantFill: a shape must be a list of int64, got ", in.types[0].dtype, ' ', in[0]);
      check<Unsupported>(in.value(0) != nullptr || dims[0] != kUnknown,
                         "ConstantFill: how many dimensions Y has must be known before the run");
      dims = in.value(0) == nullptr ? Ints(static_cast<std::size_t>(dims[0]), kUnknown) : int_values(*in.value(0));
      if (in.value(0) != nullptr) (void)fill_shape("ConstantFill", dims);
    }
    Shape y(dims);
    for (const auto d : p.extra_shape) y.push_back(d);
    return y;
  }
};

}  // namespace d2deploy
