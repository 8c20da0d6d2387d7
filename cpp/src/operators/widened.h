// The portable kernels in float32 for the other real types: slow, and right. Inputs are copied to float32, outputs are
// rounded once.
#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// `portable` for calls whose real inputs are not float32.
Kernel widened(const Kernel& portable);

Prepared prepare_widened(const Kernel& portable, const Operator& op, const Parameters& params, const CallSite& site);
void run_widened(const Kernel& portable, const Parameters& params, const Call& call);

}  // namespace d2deploy
