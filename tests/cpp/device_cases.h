// A case on the kernels for a device, in every way that they can be called.
#pragma once
#include <string>
#include <vector>

#include "case.h"
#include "core/device.h"

namespace d2deploy::testing {

struct DeviceOutcome {
  std::size_t runs = 0;
  std::vector<std::string> refusals, failures;
};

/// Every kernel in both layouts, with spare rows, in place, and, where the device is an emulated one, with its threads
/// in several orders: as the portable kernel, or with the error that the case names.
DeviceOutcome run_on_device(Device device, const Case& c);

bool has_kernel_for(Device device, const Operator& op);

}  // namespace d2deploy::testing
