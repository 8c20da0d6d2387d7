#include "io/fill.h"

#include <algorithm>
#include <array>

#include "core/element_type.h"
#include "core/fill.h"
#include "io/arguments.h"
#include "io/faults.h"
#include "io/file.h"

namespace d2deploy {

namespace {

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

// No argument `shape`: a scalar.
Shape shape_argument(const OperatorHead& op, const Args& args) {
  const Ints* dims = find_as<Ints>(args, "shape", "ints");
  return dims == nullptr ? Shape() : fill_shape<InvalidModel>(op.type, *dims);
}

void check_bytes(const TensorType& type, const Limits& limits) {
  check<InvalidModel>(type.bytes() <= limits.tensor_bytes, "shape ", type.shape, " takes ", type.bytes(),
                      " bytes, at most ", limits.tensor_bytes,
                      " are allowed; raise max_tensor_bytes if the model is meant to be so large");
}

void check_values(const TensorType& type, std::size_t values, const Limits& limits) {
  check<InvalidModel>(static_cast<std::uint64_t>(type.shape.size()) == values, "shape ", type.shape, " needs ",
                      type.shape.size(), " values, found ", values);
  check_bytes(type, limits);
}

// A tensor in the run itself, so that the system need not clear memory for a second one. Empty where there is no room.
Tensor tensor_in(const FloatRun& run, const NetIndex& net, const TensorType& type) {
  constexpr std::size_t kWorthwhile = std::size_t{64} << 10;  // small ones would keep pages that others gave back
  const std::byte* place = run.bytes.size() < kWorthwhile || net.memory == nullptr ? nullptr : run.aligned_place();
  if (place == nullptr) return {};
  std::byte* values = static_cast<std::byte*>(net.memory.get()) + (place - net.bytes.data());
  return Tensor::share(type, values, std::shared_ptr<void>(values, [memory = net.memory, bytes = run.bytes](void*) {
                         release_pages(bytes);
                       }));
}

Tensor read_floats(const NetIndex& net, const TensorType& type, const Args& args, const FloatRun& run,
                   const Limits& limits, std::vector<PendingCopy>& pending) {
  const Arg* arg = find(args, "values");
  check<InvalidModel>(arg != nullptr, "has no argument 'values'");
  const auto* ints = std::get_if<Ints>(arg);
  const auto* floats = std::get_if<Floats>(arg);
  check<InvalidModel>(floats != nullptr || (ints != nullptr && ints->empty()), "argument 'values' must hold floats");
  check_values(type, floats != nullptr ? floats->size() : run.size(), limits);
  Tensor tensor = tensor_in(run, net, type);
  if (tensor.raw() == nullptr) tensor = Tensor::allocate(type);
  if (floats != nullptr)
    std::ranges::copy(*floats, tensor.data<float>());
  else if (run.size() != 0)
    pending.push_back({run, tensor.data<float>()});
  return tensor;
}

Tensor read_ints(const OperatorHead& op, const TensorType& type, const Args& args, const FloatRun& run,
                 const Limits& limits) {
  const Ints* values = find_as<Ints>(args, "values", "ints");
  check<InvalidModel>(values != nullptr, "has no argument 'values'");
  check<InvalidModel>(run.size() == 0, "argument 'values' must hold ints");
  check_values(type, values->size(), limits);
  Tensor tensor = Tensor::allocate(type);
  with_element_type(type.dtype, [&]<class T>(T) {
    std::ranges::transform(*values, tensor.data<T>(), [&](std::int64_t v) { return to_element<T>(op.type, v); });
  });
  return tensor;
}

Tensor read_given(const NetIndex& net, const OperatorHead& op, const Args& args, const FloatRun& run,
                  const Limits& limits, std::vector<PendingCopy>& pending) {
  check<Unsupported>(op.inputs.empty(), "takes its shape from an input; write it as argument 'shape'");
  TensorType type{given_tensor_dtype(op.type).value(), shape_argument(op, args), Layout::row_major};
  if (op.type == "GivenTensorFill")  // the others ignore it
    if (const auto* dtype = find_as<std::int64_t>(args, "dtype", "an int")) type.dtype = fill_dtype(op.type, *dtype);
  return type.dtype == DType::float32 ? read_floats(net, type, args, run, limits, pending)
                                      : read_ints(op, type, args, run, limits);
}

// ConstantFill's shape: argument `shape`, or the input's shape, or its values with `input_as_shape`; then
// `extra_shape`.
Shape constant_shape(const OperatorHead& op, const Args& args, const Lookup& lookup) {
  if (op.inputs.empty()) return shape_argument(op, args);
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
  return fill_shape<InvalidModel>(op.type, dims);
}

Tensor read_constant(const OperatorHead& op, const Args& args, const Lookup& lookup, Limits& limits) {
  const Arg* given = find(args, "value");
  const Arg value = given == nullptr ? Arg(0.0F) : *given;
  const auto* dtype = find_as<std::int64_t>(args, "dtype", "an int");
  const TensorType type{constant_fill_dtype(value, dtype == nullptr ? 0 : *dtype), constant_shape(op, args, lookup),
                        Layout::row_major};
  check_bytes(type, limits);
  check<InvalidModel>(type.bytes() <= limits.constant_fill_bytes,
                      "the ConstantFills take more bytes together than one tensor may (max_tensor_bytes)");
  limits.constant_fill_bytes -= type.bytes();
  Tensor tensor = Tensor::allocate(type);
  with_element_type(type.dtype,
                    [&]<class T>(T) { std::fill_n(tensor.data<T>(), tensor.size(), constant_fill_element<T>(value)); });
  return tensor;
}

}  // namespace

InitOperator init_operator(std::string_view type) {
  if (given_tensor_dtype(type)) return InitOperator::given;
  if (type == "ConstantFill") return InitOperator::constant;
  if (std::ranges::find(kCopies, type) != kCopies.end()) return InitOperator::copy;
  return InitOperator::unsupported;
}

std::string_view why_unsupported(std::string_view type) {
  if (type == "GivenTensorStringFill")
    return "strings are not weights; exporters write them where the values of a uint8 parameter were lost";
  if (type.starts_with("Int8"))
    return "quantised weights are not supported; export the float32 model and run that with precision int8, after "
           "d2deploy calibrate";
  return {};
}

Tensor read_fill(const NetIndex& net, std::size_t index, const Lookup& lookup, Limits& limits,
                 std::vector<PendingCopy>& pending, const Log& log) {
  const OperatorHead& op = net.operators[index];
  const InitOperator kind = init_operator(op.type);
  if (kind == InitOperator::copy) return lookup(op.inputs.at(0));
  const SplitOperator split = split_floats(net.bytes, op.bytes, net.dense_runs);
  proto::OperatorDef def;
  parse(def, split.run.stride == 0 ? op.bytes : std::as_bytes(std::span(split.rest)));
  const Args args = read_arguments(def.arg(), net.file + ": " + describe(net, index), log);
  return kind == InitOperator::given ? read_given(net, op, args, split.run, limits, pending)
                                     : read_constant(op, args, lookup, limits);
}

}  // namespace d2deploy
