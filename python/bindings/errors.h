// The C++ errors as the classes of d2deploy.errors.
#pragma once

namespace d2deploy::bindings {

/// From now on, an Error that leaves a function of the module is raised as the class of d2deploy.errors of its name,
/// with its message; lack of memory as DeviceError.
void translate_errors();

}  // namespace d2deploy::bindings
