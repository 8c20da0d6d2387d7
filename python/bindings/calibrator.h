// What d2deploy._ext finds out for precision int8.
#pragma once
#include <nanobind/nanobind.h>

namespace d2deploy::bindings {

void bind_calibrator(nanobind::module_& module);

}  // namespace d2deploy::bindings
