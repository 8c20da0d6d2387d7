// Pictures resized on NumPy arrays.
#pragma once
#include <nanobind/nanobind.h>

namespace d2deploy::bindings {

void bind_resize(nanobind::module_& module);

}  // namespace d2deploy::bindings
