#include "io/fill.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>

#include "io/arguments.h"
#include "io/faults.h"
#include "io/float_run.h"

namespace d2deploy {

namespace {

struct Fill {
  std::string_view type;
  DType dtype;
};
constexpr std::array kGiven{Fill{"GivenTensorFill", DType::float32}, Fill{"GivenTensorDoubleFill", DType::float32},
                            Fill{"GivenTensorIntFill", DType::int32}, Fill{"GivenTensorInt64Fill", DType::int64},
                            Fill{"GivenTensorBoolFill", DType::boolean}};
constexpr std::array<std::string_view, 2> kCopies{"Copy", "CopyCPUToGPU"};

const Arg* find(const Args& args, std::string_view name) {
  const auto it = args.find(name);
  return it == args.end() ? nullptr : &it->second;
}

template <class T>
const T* find_as(const Args& args, std::string_view name, std::string_view wanted) {
  const Arg* arg = find(args, name);
  if (arg == nullptr) return nullptr;
  const T* value = std::get_if<T>(arg);
  check<InvalidModel>(value != nullptr, "argument ", in_quotes(name), " must hold ", wanted);
  return value;
}

// Numbers of TensorProto.DataType, in which `dtype` is given.
DType dtype_of(std::int64_t number) {
  switch (number) {
    case 1: return DType::float32;
    case 2: return DType::int32;
    case 3:
    case 6: return DType::uint8;
    case 5: return DType::boolean;
    case 10: return DType::int64;
    case 13: return DType::float32;  // float64: rounded
    default:
      fail<Unsupported>("dtype ", number, " is not supported; known: 1 float, 2 int32, 3 and 6 uint8, 5 bool, ",
                        "10 int64, 13 double");
  }
}

Shape shape_of(std::span<const std::int64_t> dims) {
  check<InvalidModel>(dims.size() <= Shape::kMaxRank, "the shape has ", dims.size(), " dimensions, at most ",
                      Shape::kMaxRank, " are supported");
  for (const auto d : dims) check<InvalidModel>(d >= 0, "the shape has the dimension ", d, ", wanted 0 or more");
  const Shape shape(dims);
  (void)shape.size();  // overflow
  return shape;
}

// No argument `shape`: a scalar.
Shape shape_argument(const Args& args) {
  const Ints* dims = find_as<Ints>(args, "shape", "ints");
  return dims == nullptr ? Shape() : shape_of(*dims);
}

void check_bytes(const TensorType& type, const Limits& limits) {
  check<InvalidModel>(type.bytes() <= limits.tensor_bytes, "shape ", type.shape, " takes ", type.bytes(),
                      " bytes, at most ", limits.tensor_bytes,
                      " are allowed; raise max_tensor_bytes if the model is meant to be so large");
}

Tensor allocate(const TensorType& type, std::size_t values, const Limits& limits) {
  check<InvalidModel>(static_cast<std::uint64_t>(type.shape.size()) == values, "shape ", type.shape, " needs ",
                      type.shape.size(), " values, found ", values);
  check_bytes(type, limits);
  return Tensor::allocate(type);
}

template <class T>
T narrow(std::int64_t value) {
  if constexpr (std::is_same_v<T, bool>)
    check<InvalidModel>(value == 0 || value == 1, "value ", value, " is no bool, wanted 0 or 1");
  else
    check<InvalidModel>(std::in_range<T>(value), "value ", value, " does not fit into ", kDType<T>);
  return static_cast<T>(value);
}

// Calls f with a value of the C++ type of an integer element type.
template <class F>
void for_integer(DType dtype, F&& f) {
  switch (dtype) {
    case DType::int32: return f(std::int32_t{});
    case DType::int64: return f(std::int64_t{});
    case DType::uint8: return f(std::uint8_t{});
    case DType::boolean: return f(bool{});
    case DType::float32:
    case DType::bfloat16:
    case DType::float16:
    case DType::int8: break;
  }
  fail<InternalError>("for_integer: ", dtype);
}

Tensor read_floats(const TensorType& type, const Args& args, const FloatRun& run, const Limits& limits) {
  const Arg* arg = find(args, "values");
  check<InvalidModel>(arg != nullptr, "has no argument 'values'");
  const auto* ints = std::get_if<Ints>(arg);
  const auto* floats = std::get_if<Floats>(arg);
  check<InvalidModel>(floats != nullptr || (ints != nullptr && ints->empty()), "argument 'values' must hold floats");
  const std::size_t count = floats != nullptr ? floats->size() : run.size();
  Tensor tensor = allocate(type, count, limits);
  if (floats != nullptr)
    std::ranges::copy(*floats, tensor.data<float>());
  else if (count != 0)
    run.copy_to(tensor.data<float>());
  return tensor;
}

Tensor read_ints(const TensorType& type, const Args& args, const FloatRun& run, const Limits& limits) {
  const Ints* values = find_as<Ints>(args, "values", "ints");
  check<InvalidModel>(values != nullptr, "has no argument 'values'");
  check<InvalidModel>(run.size() == 0, "argument 'values' must hold ints");
  Tensor tensor = allocate(type, values->size(), limits);
  for_integer(type.dtype, [&](auto zero) {
    using T = decltype(zero);
    std::ranges::transform(*values, tensor.data<T>(), narrow<T>);
  });
  return tensor;
}

Tensor read_given(const OperatorHead& op, const Args& args, const FloatRun& run, const Limits& limits) {
  check<Unsupported>(op.inputs.empty(), "takes its shape from an input; write it as argument 'shape'");
  TensorType type{std::ranges::find(kGiven, op.type, &Fill::type)->dtype, shape_argument(args), Layout::row_major};
  if (op.type == "GivenTensorFill")  // the others ignore it
    if (const auto* dtype = find_as<std::int64_t>(args, "dtype", "an int")) type.dtype = dtype_of(*dtype);
  return type.dtype == DType::float32 ? read_floats(type, args, run, limits) : read_ints(type, args, run, limits);
}

// ConstantFill's shape: argument `shape`, or the input's shape, or its values with `input_as_shape`; then
// `extra_shape`.
Shape constant_shape(const OperatorHead& op, const Args& args, const Lookup& lookup) {
  if (op.inputs.empty()) return shape_argument(args);
  check<InvalidModel>(op.inputs.size() == 1, "has ", op.inputs.size(), " inputs, at most 1 wanted");
  const Tensor& input = lookup(op.inputs[0]);
  const auto* as_shape = find_as<std::int64_t>(args, "input_as_shape", "an int");
  Ints dims(input.shape().begin(), input.shape().end());
  if (as_shape != nullptr && *as_shape != 0) {
    check<InvalidModel>(input.dtype() == DType::int64 && input.shape().rank() == 1, "input ", in_quotes(op.inputs[0]),
                        " must be a list of int64 to be a shape, got ", input.dtype(), ' ', input.shape());
    const auto values = input.values<std::int64_t>();
    dims.assign(values.begin(), values.end());
  }
  if (const auto* extra = find_as<Ints>(args, "extra_shape", "ints"))
    dims.insert(dims.end(), extra->begin(), extra->end());
  return shape_of(dims);
}

Tensor read_constant(const OperatorHead& op, const Args& args, const Lookup& lookup, Limits& limits) {
  const Arg* value = find(args, "value");
  const auto* integer = value ? std::get_if<std::int64_t>(value) : nullptr;
  const auto* real = value ? std::get_if<float>(value) : nullptr;
  check<InvalidModel>(value == nullptr || integer != nullptr || real != nullptr, "argument 'value' must be a number");
  TensorType type{integer ? DType::int64 : DType::float32, constant_shape(op, args, lookup), Layout::row_major};
  if (const auto* dtype = find_as<std::int64_t>(args, "dtype", "an int")) type.dtype = dtype_of(*dtype);
  check<InvalidModel>(type.dtype == DType::float32 || real == nullptr, "argument 'value' must be an int for ",
                      type.dtype);
  check_bytes(type, limits);
  check<InvalidModel>(type.bytes() <= limits.constant_fill_bytes,
                      "the ConstantFills take more bytes together than one tensor may (max_tensor_bytes)");
  limits.constant_fill_bytes -= type.bytes();
  Tensor tensor = Tensor::allocate(type);
  if (type.dtype == DType::float32) {
    const float v = real ? *real : integer ? static_cast<float>(*integer) : 0;
    std::fill_n(tensor.data<float>(), tensor.size(), v);
  } else {
    for_integer(type.dtype, [&](auto zero) {
      using T = decltype(zero);
      std::fill_n(tensor.data<T>(), tensor.size(), narrow<T>(integer ? *integer : 0));
    });
  }
  return tensor;
}

}  // namespace

InitOperator init_operator(std::string_view type) {
  if (std::ranges::find(kGiven, type, &Fill::type) != kGiven.end()) return InitOperator::given;
  if (type == "ConstantFill") return InitOperator::constant;
  if (std::ranges::find(kCopies, type) != kCopies.end()) return InitOperator::copy;
  return InitOperator::unsupported;
}

std::string_view why_unsupported(std::string_view type) {
  if (type == "GivenTensorStringFill")
    return "strings are no weights; exporters write them where the values of a uint8 parameter were lost";
  if (type.starts_with("Int8")) return "quantised weights are not supported; export the float32 model";
  return {};
}

Tensor read_fill(const NetIndex& net, std::size_t index, const Lookup& lookup, Limits& limits, const Log& log) {
  const OperatorHead& op = net.operators[index];
  const InitOperator kind = init_operator(op.type);
  if (kind == InitOperator::copy) return lookup(op.inputs.at(0));
  const SplitOperator split = split_floats(net.bytes, op.bytes);
  proto::OperatorDef def;
  parse(def, split.run.stride == 0 ? op.bytes : std::as_bytes(std::span(split.rest)));
  const Args args = read_arguments(def.arg(), net.file + ": " + describe(net, index), log);
  return kind == InitOperator::given ? read_given(op, args, split.run, limits)
                                     : read_constant(op, args, lookup, limits);
}

}  // namespace d2deploy
