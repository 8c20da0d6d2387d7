// Which level of a feature pyramid a box is pooled from. *Source*: Lin et al., Feature Pyramid Networks, eq. 1.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/boxes.h"

namespace d2deploy {

struct FpnLevels {
  float canonical_scale = 224;  ///< square root of the area of a box, in pixels, that belongs to ...
  float canonical_level = 4;    ///< ... this level
  std::int64_t min_level = 2, max_level = 5;
  float plus_one = 1;

  /// floor(canonical_level + log2(sqrt(area) / canonical_scale)), within [min_level, max_level], as an offset from
  /// min_level. 0, the finest level, where the area is negative or NaN.
  SIMT_HOST_DEVICE std::int64_t index(const Box& b) const {
    const float box_area = area(b, plus_one);
    if (!(box_area >= 0)) return 0;
    const float scale = std::sqrt(box_area) / canonical_scale + 1e-6F;
    const float level = std::floor(canonical_level + std::log(scale) / 0.6931471805599453F);
    // In float64: float32 does not hold all levels that may be asked for.
    const auto lo = static_cast<double>(min_level), hi = static_cast<double>(max_level);
    return static_cast<std::int64_t>(std::clamp(static_cast<double>(level), lo, hi)) - min_level;
  }
};

}  // namespace d2deploy
