// How C calls the library: nothing but a status leaves a function, and the thread remembers the error.
#pragma once
#include <utility>

#include "core/check.h"
#include "d2deploy/c.h"

namespace d2deploy::capi {

/// What is to be written does not fit where the caller wants it.
class BufferTooSmall final : public InvalidArgument {
 public:
  using InvalidArgument::InvalidArgument;
};

/// Notes the exception in flight as the thread's last error. Returns: its status.
d2d_status note_error(const char* function);

/// Runs `f`, the body of `function`.
template <class F>
d2d_status call(const char* function, F&& f) {
  try {
    std::forward<F>(f)();
    return D2D_OK;
  } catch (...) {
    return note_error(function);
  }
}

/// What an argument points to. Throws InvalidArgument where that is nothing.
template <class T>
T& required(T* argument, const char* name) {
  check(argument != nullptr, name, " is NULL");
  return *argument;
}

}  // namespace d2deploy::capi
