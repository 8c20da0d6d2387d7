#include "errors.h"

#include <nanobind/nanobind.h>

#include <new>

#include "arrays.h"
#include "d2deploy/error.h"

namespace nb = nanobind;

namespace d2deploy::bindings {

namespace {

void raise(const char* name, const std::exception& error) {
  try {
    const nb::object type = nb::module_::import_("d2deploy.errors").attr(name);
    PyErr_SetObject(type.ptr(), text(error.what(), "backslashreplace").ptr());
  } catch (nb::python_error& e) {
    e.restore();
  }
}

void translate(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const InvalidModel& e) {
    raise("InvalidModel", e);
  } catch (const InvalidArgument& e) {
    raise("InvalidArgument", e);
  } catch (const Unsupported& e) {
    raise("Unsupported", e);
  } catch (const DeviceError& e) {
    raise("DeviceError", e);
  } catch (const InternalError& e) {
    raise("InternalError", e);
  } catch (const Error& e) {
    raise("Error", e);
  } catch (const std::bad_alloc&) {  // of this module's own; the library's are DeviceErrors already
    raise("DeviceError", DeviceError("out of memory"));
  }
}

}  // namespace

void translate_errors() { nb::register_exception_translator(translate); }

}  // namespace d2deploy::bindings
