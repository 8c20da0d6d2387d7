// The errors that this library throws. Every one is an `Error`; nothing else leaves the public API.
#pragma once
#include <stdexcept>
#include <string>

#pragma GCC visibility push(default)
namespace d2deploy {

/// Base of all errors. `what()` says what failed, what was found, what was wanted and the way out.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The model file is wrong: damaged, inconsistent, or not a model.
class InvalidModel : public Error {
 public:
  using Error::Error;
};

/// The call is wrong: an input's shape or type, an option's value.
class InvalidArgument : public Error {
 public:
  using Error::Error;
};

/// Right, but not available here: an operator, a device, a precision.
class Unsupported : public Error {
 public:
  using Error::Error;
};

/// The device failed: out of memory, lost, not present.
class DeviceError : public Error {
 public:
  using Error::Error;
};

/// A fault of this library; please report it.
class InternalError : public Error {
 public:
  using Error::Error;
};

}  // namespace d2deploy
#pragma GCC visibility pop
