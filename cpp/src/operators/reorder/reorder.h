#pragma once
#include "operators/operator.h"

namespace d2deploy {

/// Y = X in another physical layout. Internal: never in a file. Only rank 4 has two layouts.
struct Reorder {
  struct Params {
    std::string to = "channels_last";
  };
  static constexpr auto fields =
      std::array{field<&Params::to>("to", Bound::any, "layout of Y: channels_last or row_major")};
  static constexpr Signature signature{"Reorder", "X: any (N, C, H, W)", "Y: any (N, C, H, W)", LayoutRule::own};

  static Layout layout(const Params& p) {
    const bool last = p.to == name(Layout::channels_last);
    check<InvalidModel>(last || p.to == name(Layout::row_major), "Reorder: to is '", p.to,
                        "', must be channels_last or row_major");
    return last ? Layout::channels_last : Layout::row_major;
  }
  static Types infer(const Params& p, const Inputs& in) { return {{in.types[0].dtype, in[0], layout(p)}}; }
};

}  // namespace d2deploy
