#pragma once
#include "operators/fc/fc.h"

namespace d2deploy {

/// Y = max(X W^T + b, 0). Internal: FC and the Relu that follows it.
struct FCRelu {
  using Params = FCParams;
  static constexpr bool relu = true;
  static constexpr auto fields = kFCFields;
  static constexpr Signature signature{"FCRelu", kFCInputs, "Y: real|float32 (M, ..., N)", LayoutRule::same, heavy};
  static constexpr const char* meaning = "fc = FC(X, W, b) {*}\nY = Relu(fc)\n";
  static Types infer(const Params& p, const Inputs& in) { return infer_fc(signature.type, p, in); }
  static double flops(const Params& p, const Inputs& in, const Types&) { return flops_fc(signature.type, p, in); }
};

}  // namespace d2deploy
