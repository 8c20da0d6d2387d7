// Detectors and masks on NumPy arrays.
#pragma once
#include <nanobind/nanobind.h>

namespace d2deploy::bindings {

void bind_detector(nanobind::module_& module);

}  // namespace d2deploy::bindings
