// Which steps of a plan may be done at the same time.
#pragma once
#include "core/device.h"
#include "runtime/plan.h"

namespace d2deploy {

/// For each step those that must be done before it: they write memory that it reads or writes, or read what it writes.
/// Those that these wait for themselves are left out.
PartOrder step_waits(const Plan& plan);

}  // namespace d2deploy
