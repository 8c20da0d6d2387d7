#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y = X. In files also a transfer between devices, or a new name: neither means anything here.
struct Copy {
  struct Params {
    std::string name;
    bool is_backward = false;
  };
  static constexpr auto fields =
      std::array{field<&Params::name>("name", Bound::any, "AliasWithName's name (no effect)"),
                 field<&Params::is_backward>("is_backward", Bound::any, "AliasWithName's direction (no effect)")};
  static constexpr Signature signature{
      "Copy",
      "X: any any",
      "Y: any any like X",
      LayoutRule::follow,
      in_place,
      "CopyCPUToGPU CopyGPUToCPU CopyFromCPUInput EnsureCPUOutput Alias Identity StopGradient AliasWithName"};
  static Types infer(const Params&, const Inputs& in) { return {in.types[0]}; }
};

}  // namespace d2deploy
