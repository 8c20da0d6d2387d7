#pragma once
#include "core/element_type.h"
#include "core/fill.h"
#include "operators/dims.h"
#include "operators/operator.h"

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

  static Types infer(const Params& p, const Inputs& in) {
    const DType type = constant_fill_dtype(p.value, p.dtype);
    with_element_type(type, [&]<class T>(T) { (void)constant_fill_element<T>(p.value); });
    return {{type, shape(p, in), Layout::row_major}};
  }

 private:
  static Shape shape(const Params& p, const Inputs& in) {
    if (in.size() == 0) {
      check<InvalidModel>(p.extra_shape.empty() && !p.input_as_shape,
                          "ConstantFill: extra_shape and input_as_shape want an input");
      return fill_shape<InvalidModel>("ConstantFill", p.shape);
    }
    check<InvalidModel>(p.shape.empty(), "ConstantFill: got shape both as an input and as an argument");
    Ints dims(in[0].begin(), in[0].end());
    if (p.input_as_shape) {
      check(in.types[0].dtype == DType::int64 && dims.size() == 1,
            "ConstantFill: a shape must be a list of int64, got ", in.types[0].dtype, ' ', in[0]);
      check<Unsupported>(in.value(0) != nullptr || dims[0] != kUnknown,
                         "ConstantFill: how many dimensions Y has must be known before the run");
      dims = in.value(0) == nullptr ? Ints(static_cast<std::size_t>(dims[0]), kUnknown) : int_values(*in.value(0));
      if (in.value(0) != nullptr) (void)fill_shape<InvalidArgument>("ConstantFill", dims);
    }
    Shape y(dims);
    for (const auto d : p.extra_shape) y.push_back(d);
    return y;
  }
};

}  // namespace d2deploy
