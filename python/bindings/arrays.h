// Between Python's values and the library's: arrays and tensors, names, arguments of nets. All of it needs the GIL.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <string>
#include <string_view>
#include <vector>

#include "d2deploy/model.h"

namespace d2deploy::bindings {

/// A str of UTF-8; `errors` says, in Python's words, what becomes of bytes that are none.
nanobind::str text(std::string_view utf8, const char* errors = "surrogateescape");

/// What a value is, for a message: the element type of an array, or its class.
std::string description(nanobind::handle value);

/// A new array of NumPy, uninitialised. Throws DeviceError, with the name, where there is no memory for it.
nanobind::object empty_array(const std::string& name, const TensorType& type);

/// Tensors, and what keeps their memory alive.
struct Inputs {
  using Array = nanobind::ndarray<nanobind::ro, nanobind::c_contig, nanobind::device::cpu>;

  Tensors tensors;
  std::vector<Array> arrays;
};

/// Views of arrays (of NumPy, or with DLPack or the buffer protocol); those that are not contiguous or not aligned are
/// copied. Throws InvalidArgument: a name that is not a str, a value that is not an array in host memory, an element
/// type that no tensor has.
Inputs to_inputs(const nanobind::dict& inputs);

/// Copies in arrays that own their memory. The GIL is let go while the values are copied.
nanobind::dict to_arrays(const Tensors& tensors);

/// int, float, str (bytes where it is not UTF-8), or a list of them.
nanobind::object to_object(const NetArgument& argument);

/// All arguments of the predict net by name.
nanobind::dict info_of(const ModelInfo& info);

}  // namespace d2deploy::bindings
