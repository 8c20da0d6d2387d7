#include "arrays.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace nb = nanobind;

namespace d2deploy::bindings {

namespace {

constexpr DType kDTypes[] = {DType::float32, DType::int8, DType::uint8, DType::int32, DType::int64, DType::boolean};

nb::dlpack::dtype dlpack_of(DType dtype) {
  switch (dtype) {
    case DType::float32: return nb::dtype<float>();
    case DType::bfloat16:
    case DType::float16: break;  // inside of a net alone
    case DType::int8: return nb::dtype<std::int8_t>();
    case DType::int32: return nb::dtype<std::int32_t>();
    case DType::int64: return nb::dtype<std::int64_t>();
    case DType::uint8: return nb::dtype<std::uint8_t>();
    case DType::boolean: return nb::dtype<bool>();
  }
  throw InternalError("an element type without a name in DLPack");
}

// The library's bytes of a str; the inverse of `text`.
std::string to_string(const nb::str& text) {
  const nb::bytes bytes(nb::object(text.attr("encode")("utf-8", "surrogateescape")));
  return {bytes.c_str(), bytes.size()};
}

DType dtype_of(const std::string& name, nb::handle value, const Inputs::Array& array) {
  const auto* dtype = std::ranges::find_if(kDTypes, [&](DType d) { return dlpack_of(d) == array.dtype(); });
  if (dtype == std::end(kDTypes))
    throw InvalidArgument("input '" + name + "' is " + description(value) +
                          ", which no blob is; convert it with astype: images are float32 or uint8");
  return *dtype;
}

Tensor to_tensor(const std::string& name, nb::handle value, const Inputs::Array& array) {
  TensorType type{dtype_of(name, value, array), {}, Layout::row_major};
  for (std::size_t i = 0; i < array.ndim(); ++i) type.shape.push_back(static_cast<std::int64_t>(array.shape(i)));
  void* data = const_cast<void*>(array.data());  // a session only reads its inputs
  if (reinterpret_cast<std::uintptr_t>(data) % size_of(type.dtype) == 0) return Tensor::view(type, data);
  Tensor copy = Tensor::allocate(type);
  std::memcpy(copy.raw(), data, static_cast<std::size_t>(type.bytes()));
  return copy;
}

nb::object to_object(std::int64_t value) { return nb::int_(value); }
nb::object to_object(float value) { return nb::float_(static_cast<double>(value)); }
nb::object to_object(const std::string& value) {
  try {
    return text(value, "strict");
  } catch (const nb::python_error&) {
    return nb::bytes(value.data(), value.size());
  }
}
template <class T>
nb::object to_object(const std::vector<T>& list) {
  nb::list out;
  for (const auto& item : list) out.append(to_object(item));
  return out;
}

}  // namespace

nb::str text(std::string_view utf8, const char* errors) {
  PyObject* object = PyUnicode_DecodeUTF8(utf8.data(), static_cast<Py_ssize_t>(utf8.size()), errors);
  if (object == nullptr) throw nb::python_error();
  return nb::steal<nb::str>(object);
}

std::string description(nb::handle value) {
  const nb::object dtype = nb::getattr(value, "dtype", nb::none());
  return dtype.is_none() ? "of type " + to_string(nb::str(value.type().attr("__name__"))) : to_string(nb::str(dtype));
}

nb::object empty_array(const std::string& name, const TensorType& type) {
  nb::list shape;
  for (const auto dim : type.shape) shape.append(dim);
  try {
    return nb::module_::import_("numpy").attr("empty")(nb::tuple(shape), text(d2deploy::name(type.dtype)));
  } catch (const nb::python_error& e) {
    if (!e.matches(PyExc_MemoryError)) throw;
    throw DeviceError(name + ": out of memory: " + to_string(nb::str(e.value())));
  }
}

Inputs to_inputs(const nb::dict& inputs) {
  Inputs out;
  for (const auto& [key, value] : inputs) {
    if (!nb::isinstance<nb::str>(key))
      throw InvalidArgument("an input's name is " + description(key) + ", wanted a str");
    const std::string name = to_string(nb::borrow<nb::str>(key));
    Inputs::Array array;
    if (!nb::try_cast(value, array))
      throw InvalidArgument("input '" + name + "' is " + description(value) + ", wanted a NumPy array");
    out.tensors[name] = to_tensor(name, value, array);
    out.arrays.push_back(std::move(array));
  }
  return out;
}

nb::dict to_arrays(const Tensors& tensors) {
  nb::dict out;
  std::vector<nb::ndarray<nb::c_contig>> arrays;  // in the order of `tensors`
  for (const auto& [name, tensor] : tensors) {
    const nb::object array = empty_array("output '" + name + "'", tensor.type());
    arrays.push_back(nb::cast<nb::ndarray<nb::c_contig>>(array));
    out[text(name)] = array;
  }
  const nb::gil_scoped_release released;
  std::size_t i = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto bytes = static_cast<std::size_t>(tensor.bytes());
    if (bytes > 0) std::memcpy(arrays[i].data(), tensor.raw(), bytes);
    ++i;
  }
  return out;
}

nb::object to_object(const NetArgument& argument) {
  return std::visit([](const auto& value) { return to_object(value); }, argument);
}

nb::dict info_of(const ModelInfo& info) {
  nb::dict out;
  for (const auto& [name, value] : info.arguments) out[text(name)] = to_object(value);
  out["meta_architecture"] = to_object(info.meta_architecture);
  out["size_divisibility"] = to_object(info.size_divisibility);
  return out;
}

}  // namespace d2deploy::bindings
